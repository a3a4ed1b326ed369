"""Who is measured: Lockstep itself and its peers, each as a real program in processes of its own."""
