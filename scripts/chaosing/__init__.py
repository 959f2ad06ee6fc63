"""The parts of chaos.py: clients, strikes on the cloud, and what must hold in spite of them."""
