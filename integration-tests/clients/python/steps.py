"""Runs named steps of one client's script and prints a line for each: what the matrix counts."""
import sys
import traceback

_failed = []


def step(name, action):
    """Runs `action`; a failure is printed and remembered, and the next step still runs."""
    try:
        result = action()
        print(f"ok    {name}", flush=True)
        return result
    except Exception as error:  # a client's own exception types have no common base
        _failed.append(name)
        print(f"FAIL  {name}: {type(error).__name__}: {error}", flush=True)
        traceback.print_exc(limit=3)
        return None


def expect(condition, sentence):
    """Raises with `sentence` unless `condition` holds."""
    if not condition:
        raise AssertionError(sentence)


def finish():
    """Ends the process with the number of failed steps as its answer."""
    sys.exit(1 if _failed else 0)
