"""What an operator can set for one process: each field is an option and an RQ_BROKER_* variable."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rq_broker.domain.errors import Invalid
from rq_broker.store.redis_url import parse

LOOPBACK = ("127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one process; raises Invalid for a value that can never be one of its kind."""

    redis: str = field(default="redis://127.0.0.1:6379/0", repr=False)
    """URL of the Redis that keeps the state. Default: a local one."""
    redis_file: str | None = None
    """File that `redis` was read from. Default, None: from none."""
    secret_key_file: str | None = None
    """File of the keys that signing keys are encrypted with; the first encrypts, all decrypt.
    Default, None: they are stored as they are."""
    host: str = "127.0.0.1"
    """Address or name that the API serves on. Default: loopback."""
    port: int = 8080
    """TCP port that the API serves on, 1 to 65535. Default: 8080."""
    workers: int = 1
    """Number of API processes, at least 1. Default: 1."""
    keep_alive: float = 75.0
    """Seconds that the API keeps an idle connection open. Longer than clients and proxies do, as a
    client that sends when the server closes loses its request. Default: 75."""
    grace: float = 30.0
    """Seconds that requests under way have to end after SIGTERM. Default: 30."""
    max_connections: int | None = None
    """Most connections of one API process. Default, None: as its file descriptors allow."""
    max_connections_per_address: int | None = None
    """Most connections of one client address in one API process. Default, None: half of all."""
    min_replicas_acked: int = 0
    """Replicas that must have what a request wrote before it is answered. Default, 0: none."""
    insecure: bool = False
    """Whether the API may serve other machines without access control. Default: it may not."""
    allowed_hosts: tuple[str, ...] = ()
    """Names by which the API is called, beside `localhost` and IP addresses; `*.lab` stands for all
    below `lab`, `*` for every name. Default, empty: on loopback no other, else every name."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call the API from a browser. Default: its own pages only."""
    forwarded_allow_ips: tuple[str, ...] = ()
    """Addresses and networks of proxies whose X-Forwarded-For and -Proto are believed. Default:
    nobody's."""
    root_path: str = ""
    """Path below which a proxy serves the API, and which it strips. Default: none."""
    tokens: bool = False
    """Whether every call of the API needs a token, see identity.tokens. Default: it does not."""
    open_types: bool = False
    """Whether clients, sources and operators may make types too. Default: admins only."""
    no_dashboard: bool = False
    """Whether there is no page for people at `/`. Default: there is one."""
    read_only: bool = False
    """Whether the API refuses every change. Default: it does not."""
    rate_limit: float = 100.0
    """Requests a second of each identity that is no admin; 0 for any number. Default: 100."""
    owner_rate_limit: float = 200.0
    """Requests a second of all identities of one owner; 0 for any number. Default: 200."""
    admin_rate_limit: float = 0.0
    """Requests a second of each admin, or without access control of each address. Default, 0: any
    number."""
    wait_limit: int = 1000
    """Reads that wait and streams of events that each identity that is no admin may have open at
    once in each process; 0 for any number. Default: 1000."""
    session_idle: float = 3600.0
    """Seconds without a request after which a browser is signed out. Default: an hour."""
    session_lifetime: float = 43_200.0
    """Seconds after which it is signed out, whatever it does. Default: 12 hours."""
    max_types: int = 10_000
    """Types of the installation that clients may make. Default: 10,000."""
    keystone_cloud: str | None = None
    """Cloud of clouds.yaml whose Keystone checks the tokens of OpenStack's users, with the login
    that is written there; `envvars`: the OS_* variables. Default, None: none does."""
    keystone_owner: str = "id"
    """What of a token's project is the owner: `id` or `name`. Default: its id."""
    keystone_domain: str | None = None
    """Id of the only domain whose projects are let in. Default, None: every one with ids,
    `default` with names, which are unique in their domain only."""
    keystone_roles: tuple[str, ...] = ("admin=operator", "member=client", "reader=viewer")
    """`THEIRS=OURS`; the first that a token has on its project decides."""
    jwt_issuer: str | None = None
    """`iss` of the JWTs that are accepted. Default, None: none are."""
    jwt_audience: str | None = None
    """What their `aud` must have. Required with `jwt_issuer`."""
    jwt_keys: str | None = None
    """URL or file of the issuer's JWK Set. Required with `jwt_issuer`."""
    jwt_owner: str = "sub"
    """Claim that names the owner, or a list of them. Default: the subject."""
    jwt_role: str = "roles"
    """Claim that has the issuer's roles. Default: `roles`."""
    jwt_roles: tuple[str, ...] = (
        "admin=admin",
        "operator=operator",
        "source=source",
        "client=client",
        "viewer=viewer",
    )
    """`THEIRS=OURS`; the first that a JWT has decides. Default: the broker's own names."""
    oidc_client: str | None = None
    """Name under which the issuer knows this installation; browsers sign in there. Default, None:
    nobody does."""
    oidc_secret_file: str | None = None
    """File of the secret that goes with it. Default, None: it is a public client."""
    oidc_scope: str = "openid"
    """What is asked for at a sign-in, words with spaces between. Default: `openid`."""
    types: tuple[str, ...] = ()
    """Types that a notifier or an audit works on. Default, empty: every type there is."""
    callback_base: str | None = None
    """URL that callbacks without a scheme are resolved against. Default, None: refuse those."""
    callback_allow: tuple[str, ...] = ()
    """CIDRs and host names that callbacks may go to. Default, empty: private networks only."""
    callback_deny: tuple[str, ...] = ()
    """CIDRs and host names that callbacks never go to, whatever is allowed. Default: none."""
    callback_ports: tuple[int, ...] = ()
    """The only ports that callbacks may go to. Default, empty: every port."""
    timeout: float = 10.0
    """Seconds that one callback attempt may take, from DNS to the last byte. Default: 10."""
    concurrency: int = 512
    """Callbacks that one notifier process sends at the same time. Default: 512."""
    source: str | None = None
    """Path of the TOML file that lists the sources to poll, see sources.feeds. Default: none."""

    metrics_port: int | None = None
    """TCP port on which a notifier serves its own metrics. Default, None: it serves none."""
    metrics_host: str = "127.0.0.1"
    """Address that it serves them on, without access control. Default: loopback."""
    log_level: str = "info"
    """The least severe lines that are logged. Default: what happens, without each detail."""
    log_format: Literal["text", "json"] = "text"
    """How lines are written; in JSON there is one for each submit, grant and callback too. Default:
    text."""
    sample: int = 0
    """Jobs of each type that an audit checks, chosen at random. Default, 0: everything."""
    repair: bool = False
    """Whether an audit mends what it finds. Default: it only tells."""
    resume: str | None = None
    """File in which an audit keeps how far it is, and goes on from. Default, None: none."""
    dry_run: bool = False
    """Whether an import only tells what it would do. Default: it imports."""
    again: bool = False
    """Whether an import looks at the rows of earlier runs, too. Default: at those after them."""
    metrics_file: str | None = None
    """File that an audit writes its result to, for Prometheus. Default, None: none."""
    follow: bool = False
    """Whether the audit log is printed on as it is written. Default: what there is, and no more."""
    as_json: bool = False
    """Whether its lines are printed as JSON objects. Default: as sentences."""
    since: float | None = None
    """How long ago its first line may have been written, seconds. Default, None: however long."""
    role: str = "api"
    """What the process of a Redis user does, for `acl`. Default: it serves the API."""
    user: str | None = None
    """Name of the Redis user that `acl` makes. Default, None: `rq-broker-` and the role."""

    def __post_init__(self) -> None:
        from rq_broker.domain.validation import TYPE_NAME  # noqa: PLC0415 - loads msgspec, which --help does without

        parse(self.redis)
        if self.root_path and (self.root_path[0] != "/" or self.root_path[-1] == "/"):
            raise Invalid(f"--root-path {self.root_path} must begin with / and not end with it")
        for type_ in self.types:
            TYPE_NAME.check(type_, f"--type {type_}")

    @property
    def hosts(self) -> tuple[str, ...] | None:
        """Names by which the API is called, as `allowed_hosts` says them; None: every name."""
        return self.allowed_hosts or (() if self._is_loopback else None)

    @property
    def controls_access(self) -> bool:
        """Whether calls of the API need an identity."""
        return self.tokens or bool(self.keystone_cloud or self.jwt_issuer)

    @property
    def _is_loopback(self) -> bool:
        return self.host in (*LOOPBACK, "localhost")

    @property
    def is_open(self) -> bool:
        """Whether the API serves other machines without access control."""
        return not (self._is_loopback or self.controls_access)

    def check_bind(self) -> None:
        """Raise Invalid if the API would be open, unless it may be."""
        if self.insecure or not self.is_open:
            return
        raise Invalid(
            f"--host {self.host} is not loopback and the API has no access control: add --tokens, "
            "--keystone-cloud or --jwt-issuer, or serve on 127.0.0.1 behind a proxy that checks"
            " access, or add --insecure"
        )
