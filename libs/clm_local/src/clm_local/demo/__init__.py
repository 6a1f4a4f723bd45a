"""The demo: half a year of a shop's real clickstream, sent as the shop's own website would."""
