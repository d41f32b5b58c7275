"""asyncio: every call that does I/O has an a-form, and one machine serves all tasks of a loop.

Four patterns: many users at once; recall beside other work of the turn; emit that nobody waits for; and a tool that is called
from a task. Expect what each user is remembered by, and that the turns of five users took hardly longer than one.
"""

import asyncio
import time
from secrets import token_hex

from learning_machine import LearningMachine, Receipt, UserProfileConfig

LIKES = {"ana": "jazz", "ben": "chess", "cleo": "ramen", "dora": "opera", "emil": "hiking"}
ORDERS = ["ana", "cleo", "ana"]


async def open_orders(user: str) -> int:
    """What a turn asks besides: a query, another service; here a list, in a thread."""
    return await asyncio.to_thread(ORDERS.count, user)


async def turn(machine: LearningMachine, user: str, text: str) -> Receipt:
    """One turn: what is remembered is read beside the other work, and handing over is one round trip."""
    recalled, orders = await asyncio.gather(machine.arecall(text, user_id=user, session_id=user), open_orders(user))
    answer = f"You have {orders} open orders." + (" Welcome back." if recalled.memories else "")
    words = [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
    return await machine.aemit(words, user_id=user, session_id=user)


async def main() -> None:
    """The four patterns."""
    tenant = f"async-{token_hex(3)}"
    async with LearningMachine(tenant=tenant, user_profile=UserProfileConfig(enable_agent_tools=True)) as machine:
        await turn(machine, "nobody", "Hello.")  # the first turn connects
        began = time.monotonic()
        receipts = await asyncio.gather(*(turn(machine, user, f"I love {what}.") for user, what in LIKES.items()))
        print(f"{len(receipts)} turns at once: {1000 * (time.monotonic() - began):.0f} ms")

        states = await asyncio.gather(*(machine.asettle(receipt, timeout=60) for receipt in receipts))
        print(f"extracted: {sum(state['user_profile'] == 'extracted' for state in states)} of {len(states)}")

        # Handed over beside the answer's way to the user; the group sees what goes wrong.
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(turn(machine, "ana", "I live in Porto."))
            save = {tool.name: tool for tool in machine.tools(user_id="ben")}["save_memory"]
            saved = tasks.create_task(save.acall(content="Plays on Thursdays"))
        print(f"ben's tool: {saved.result()}")

        for user in LIKES:
            recalled = await machine.arecall(user_id=user, session_id="another")
            said = [f"(just said: {each.content})" for each in recalled.unprocessed]
            print(f"{user}: {', '.join([*recalled.memories, *said])}")


asyncio.run(main())
