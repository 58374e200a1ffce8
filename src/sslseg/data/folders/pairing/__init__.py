"""Which mask belongs to which image: by a pattern, by a layout that is known, or by what names say."""
