"""/api/v2.0: the transcoded RPCs, and what is answered by hand beside them."""
