"""The KPI engine: reads the river and keeps rolling figures per workspace, lifecycle and stage."""
