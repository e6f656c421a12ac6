// The page has no script of its own yet.
