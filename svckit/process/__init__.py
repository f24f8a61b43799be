"""The parts that every service's process has: settings, key, tokens, metrics, background work, start and stop.

A `server.py` contains only what is special to its service:

    def main(config: Path | None) -> int:
        return run_service(SECTION, MailSettings, config, serve)

    async def serve(process: ServiceProcess[MailSettings]) -> None:
        database = await process.enter(open_needed(process, migrations))
        store = SqlStore(database)
        process.loops.every(10.0, "send_mail", partial(send_waiting, store))
        await process.serve(build_server(process, store))
"""
