"""What goes by a list of events, in the place of clocks that are drawn."""
