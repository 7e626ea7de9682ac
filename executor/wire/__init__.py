"""What goes over the wire: process groups, edges, exchanges, sends, collectives."""
