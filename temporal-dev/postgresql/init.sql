-- The store of the research cycles, beside Temporal's own two databases. Run once, when the volume is new.
CREATE DATABASE research;
