"""The jobs of the benchmark, one module each; bench/catalogue.py names them."""
