"""Other services' stubs behind ports of metasvc's own."""
