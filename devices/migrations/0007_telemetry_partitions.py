"""Days of telemetry are made and dropped by functions that run in the owner's name.

The application's role owns no table, so it can neither attach a partition nor drop one. Each function takes a date and
makes the name itself; the search path is pinned and every table named with its schema.
"""

from django.db import migrations

CREATE = r"""
CREATE FUNCTION devices_make_telemetry_day(day date) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text := 'devices_telemetryevent_' || to_char(day, 'YYYYMMDD');
    starts timestamptz := day::timestamp AT TIME ZONE 'UTC';
    ends timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF day IS NULL OR day NOT BETWEEN '2000-01-01' AND '2999-12-31' THEN
        RAISE EXCEPTION 'no day to keep telemetry of: %', day USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF to_regclass('public.' || name) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- Writers wait meanwhile: a partition is attached only while the default one holds none of its rows.
    LOCK TABLE public.devices_telemetryevent IN SHARE ROW EXCLUSIVE MODE;
    IF to_regclass('public.' || name) IS NOT NULL THEN
        RETURN false;  -- somebody else made it while we waited
    END IF;
    EXECUTE format('CREATE TABLE public.%I (LIKE public.devices_telemetryevent'
        ' INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    EXECUTE format('WITH moved AS (DELETE FROM public.devices_telemetryevent_default'
        ' WHERE timestamp >= $1 AND timestamp < $2 RETURNING *) INSERT INTO public.%I SELECT * FROM moved', name)
        USING starts, ends;
    EXECUTE format('ALTER TABLE public.devices_telemetryevent ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
        name, starts, ends);
    RETURN true;
END $$;

CREATE FUNCTION devices_drop_telemetry_before(oldest date) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    name text;
BEGIN
    IF oldest IS NULL OR oldest NOT BETWEEN '2000-01-01' AND '2999-12-31' THEN
        RAISE EXCEPTION 'no day to drop telemetry before: %', oldest USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR name IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'public.devices_telemetryevent'::regclass
            AND c.relname ~ '^devices_telemetryevent_[0-9]{8}$'
            AND right(c.relname, 8) < to_char(oldest, 'YYYYMMDD')
        ORDER BY 1
    LOOP
        EXECUTE format('DROP TABLE public.%I', name);
        RETURN NEXT name;
    END LOOP;
END $$;

REVOKE ALL ON FUNCTION devices_make_telemetry_day(date), devices_drop_telemetry_before(date) FROM PUBLIC;
"""
DROP = "DROP FUNCTION devices_make_telemetry_day(date), devices_drop_telemetry_before(date)"


class Migration(migrations.Migration):
    dependencies = [("devices", "0006_order_of_lists")]

    operations = [migrations.RunSQL(CREATE, DROP)]
