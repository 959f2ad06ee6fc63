"""When a waiting job may start, and how a change would move that: simulated futures of a type.

The same planner is run forward. A simulated future draws how much longer each hold lasts, from the
observed holding times longer than its age, and how long each waiting job will hold. Then time
passes: holds end, new jobs arrive (arrivals.py), `plan` grants, and these grants end in turn. The
spread of many futures gives p50 and p90. Hosts are assumed to stay as they are.
"""
