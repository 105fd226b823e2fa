from alembic import context
from ta_generator.database import connect

manager = connect()
manager.register()
manager.db.migrations.run_env(context)
