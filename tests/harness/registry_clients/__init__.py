"""Client programs of registries behind one port: `port` says what they do, and each adapter is one program."""
