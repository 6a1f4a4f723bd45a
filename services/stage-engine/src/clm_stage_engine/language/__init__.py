"""The language of lifecycles: strict models of what is written, each giving what the core reads."""
