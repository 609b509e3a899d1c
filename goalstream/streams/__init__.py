"""Kafka: the only room that knows Faust and aiokafka. It receives storage through the Protocols in `ports`.

app        the Faust app             transport   whole polls to agents    agents      one per topic, the failure policy
codec      record → event or fact    envelope    the three envelopes      processor   the straight path of a batch
goal_cache the goal table, exact     publisher   outbox → Kafka           dead_letters  what can never be processed
topics     names and creation        ports       what storage must offer
"""
