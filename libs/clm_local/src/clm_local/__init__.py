"""The whole system on one machine: its servers as child processes, and the `clm` command."""
