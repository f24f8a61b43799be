"""The history of authsvc's tables."""

HEAD = "0005"
