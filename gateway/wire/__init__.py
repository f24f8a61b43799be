"""How requests and answers look on the wire: errors, headers, JSON and its transcoding."""
