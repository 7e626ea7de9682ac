"""What programs hand over and should not: told in one line, by what was expected and what was found."""
