"""delivery: makes of each update what each attached endpoint gets, and sends it on that endpoint's route."""
