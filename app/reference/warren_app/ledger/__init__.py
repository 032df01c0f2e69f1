"""The ledger: proves by counting that no task is lost.

The producer notes in a file which tasks the broker accepted, the workers note in files which tasks
they did, and the report compares the two. Neither the broker nor a result backend is asked.
"""
