"""fanout: gives each thread one order, decides who may write to it, makes one append a member."""
