"""A model of claim, lease and fence, walked through whole: every order of every step of two machines and one job.

    python docs/models/lease.py

Time is the server's, in steps. A lease lasts LEASE steps; a machine that runs and is linked renews it when RENEW steps are
left; one that could not ends its process when MARGIN steps are left (its own time since boot agrees with the server's: it
counts from before it asked). A frozen machine does nothing, its processes neither; its link may be cut at any moment. What
it says of a run travels as a message that may come at any later moment.

Shown for each state that can be reached:
  once       the job is recorded as completed once, by the run that is current then
  apart      two processes of it run at the same time only when one of their machines has just thawed
  alive      from each state some order of steps leads to its completion
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

LEASE, RENEW, MARGIN = 4, 3, 1
RUNS_MAX = 3  # runs in one walk
CUTS_MAX = 2  # freezes and cuts in one walk


class Machine(NamedTuple):
    left: int = LEASE  # of its lease, as the server counts; 0: it is over
    taken: bool = False  # its row is gone
    run: int = 0  # the run whose process runs here
    linked: bool = True
    frozen: bool = False
    thawed: bool = False  # and has not looked at the time since


class State(NamedTuple):
    job: str = "ready"  # ready | running | completed
    run: int = 0
    owner: int = -1
    completed: int = 0
    a: Machine = Machine()
    b: Machine = Machine()
    words: tuple[tuple[int, int], ...] = ()  # (machine, run) finished, on the way
    troubles: int = 0


def with_machine(state: State, number: int, machine: Machine) -> State:
    return state._replace(a=machine) if number == 0 else state._replace(b=machine)


def steps(state: State) -> Iterator[tuple[str, State]]:
    for number, me in enumerate((state.a, state.b)):
        yield from of_machine(state, number, me)
    for word in state.words:
        yield f"word {word}", heard(state, word)
    if may_pass(state):
        older = [m._replace(left=max(0, m.left - 1)) for m in (state.a, state.b)]
        yield "time", state._replace(a=older[0], b=older[1])


def of_machine(state: State, number: int, me: Machine) -> Iterator[tuple[str, State]]:
    if me.frozen:
        yield f"{number} thaws", with_machine(state, number, me._replace(frozen=False, thawed=True))
        return
    if state.troubles < CUTS_MAX:
        hurt = state._replace(troubles=state.troubles + 1)
        yield f"{number} freezes", with_machine(hurt, number, me._replace(frozen=True))
        if me.linked:
            yield f"{number} is cut off", with_machine(hurt, number, me._replace(linked=False))
    if not me.linked:
        yield f"{number} is linked", with_machine(state, number, me._replace(linked=True))
    if me.run:
        said = state._replace(words=(*state.words, (number, me.run)))
        yield f"{number} finishes", with_machine(said, number, me._replace(run=0))
    if me.left <= MARGIN and (me.run or me.thawed):
        yield f"{number} ends its own", with_machine(state, number, me._replace(run=0, thawed=False))
    elif me.thawed:
        yield f"{number} looks", with_machine(state, number, me._replace(thawed=False))
    if me.linked and not me.taken and me.left <= RENEW and not me.thawed:
        yield f"{number} renews", with_machine(state, number, me._replace(left=LEASE))
    if me.linked and me.taken and not me.thawed:
        yield f"{number} begins anew", with_machine(state, number, Machine())
    if me.linked and not me.taken and me.left and not me.thawed and state.job == "ready" and state.run < RUNS_MAX:
        mine = state._replace(job="running", run=state.run + 1, owner=number)
        yield f"{number} claims", with_machine(mine, number, me._replace(run=state.run + 1))
    if me.linked and not me.taken and me.left and state.owner == 1 - number and state.job == "running":
        other = state.b if number == 0 else state.a
        if not other.left:
            given = with_machine(state, 1 - number, other._replace(taken=True))
            yield f"{number} takes the lease of {1 - number}", given._replace(job="ready", owner=-1)
    nothing_of_it = not me.run and (number, state.run) not in state.words
    if me.linked and state.owner == number and state.job == "running" and nothing_of_it and not me.taken and not me.thawed:
        yield f"{number} gives back", state._replace(job="ready", owner=-1)


def heard(state: State, word: tuple[int, int]) -> State:
    """The store takes a finish only of the run that is current, from whom it is with."""
    number, run = word
    machine = (state.a, state.b)[number]
    left = tuple(other for other in state.words if other != word)
    state = state._replace(words=left)
    if not machine.linked or machine.frozen:
        return state._replace(words=(*left, word)) if state.job == "ready" else state
    if state.job == "running" and (state.owner, state.run) == (number, run) and not machine.taken:
        return state._replace(job="completed", owner=-1, completed=state.completed + 1)
    return state


def may_pass(state: State) -> bool:
    """What a machine must do at a moment it does before the next one, unless it is frozen or cannot."""
    for me in (state.a, state.b):
        if me.left and not me.frozen and ((me.left <= MARGIN and me.run) or me.thawed):
            return False
    return bool(state.a.left or state.b.left)


def broken(state: State) -> str:
    if state.completed > 1:
        return "completed twice"
    if state.a.run and state.b.run and not any(m.frozen or m.thawed for m in (state.a, state.b)):
        return "two processes at the same time"
    return ""


def check() -> tuple[int, int]:
    """Walk all states; returns how many states and steps. Raises AssertionError with the way to what is broken."""
    first = State()
    came: dict[State, tuple[State, str] | None] = {first: None}
    before: dict[State, list[State]] = {}
    waiting, walked = deque([first]), 0
    while waiting:
        state = waiting.popleft()
        for name, following in steps(state):
            walked += 1
            before.setdefault(following, []).append(state)
            if following not in came:
                came[following] = (state, name)
                assert not broken(following), f"{broken(following)}: {way_to(following, came)}"
                waiting.append(following)
    good = {state for state in came if state.job == "completed" or state.run == RUNS_MAX}
    waiting = deque(good)
    while waiting:
        for state in before.get(waiting.popleft(), ()):
            if state not in good:
                good.add(state)
                waiting.append(state)
    stuck = [state for state in came if state not in good]
    assert not stuck, f"no way to its end: {way_to(stuck[0], came)}"
    return len(came), walked


def way_to(state: State, came: dict[State, tuple[State, str] | None]) -> list[str]:
    way = []
    while (step := came[state]) is not None:
        state, name = step
        way.append(name)
    return way[::-1]


if __name__ == "__main__":
    print("{} states, {} steps: once, apart, alive".format(*check()))
