"""Whose doing an old change was is forgotten by a function that runs in the owner's name.

History only grows for the application's role. The function empties one column and nothing else; its search path is
pinned and the table named with its schema.
"""

from django.db import migrations

CREATE = """
CREATE FUNCTION core_forget_actors(changes bigint[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE public.core_statechange SET actor = '' WHERE id = ANY (changes);
$$;

REVOKE ALL ON FUNCTION core_forget_actors(bigint[]) FROM PUBLIC;
"""
DROP = "DROP FUNCTION core_forget_actors(bigint[])"


class Migration(migrations.Migration):
    dependencies = [("core", "0003_audit_indexes")]

    operations = [migrations.RunSQL(CREATE, DROP)]
