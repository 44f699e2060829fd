"""How Alembic runs a migration here: on the connection and inside the transaction that `store.database` hands it."""

from alembic import context
from sqlmodel import SQLModel

import store.tables  # noqa: F401  (registers the tables in the metadata)

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    # SQLite's DDL is transactional too; Alembic does not assume so.
    transactional_ddl=True,
)
context.run_migrations()
