"""The pure part: from stage changes to figures, and from figures to KPIs."""
