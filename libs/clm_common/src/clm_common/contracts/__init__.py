"""The wire: every message that crosses a topic, defined once as a msgspec Struct.

JSON Schema and AsyncAPI are generated from these classes:
`python -m clm_common.contracts.generate`.
"""
