"""Pure decisions: what the river says, what is planned, what may be sent, how it reads."""
