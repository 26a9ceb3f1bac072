"""Raw files: tables, lists, archives."""
