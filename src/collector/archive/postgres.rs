//! PostgreSQL, asked by a thread that waits for the answer. The sockets are served by a thread of
//! their own, so that a connection may be used, and dropped, wherever SQLite's may.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::Stream as _;
use tokio::runtime::Handle;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::Severity;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Config, Row, RowStream, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::collector::archive::ArchiveError;
use crate::collector::archive::postgres::fault::{Fault, fault};
use crate::collector::archive::value::Value;
use crate::config::collector::{Address, Encryption, Identity, Parts};
use crate::net::trust::{self, Trust};

pub(in crate::collector::archive) mod fault;

/// A connection is given so long to be made, unless its address says otherwise.
const CONNECT: Duration = Duration::from_secs(10);
/// A server that acknowledges nothing for so long is gone.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// So many statements are kept prepared; the program has fewer.
const STATEMENTS: usize = 256;

/// A connection to a server.
pub struct Postgres {
    client: Client,
    prepared: RefCell<HashMap<String, Statement>>,
    /// The server has said that it ends the connection; that it is closed is seen a moment later.
    ended: Cell<bool>,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl Postgres {
    /// Connects to `postgres://user@host/database`.
    ///
    /// # Errors
    /// When the address is none, or the server does not answer.
    pub fn connect(at: &Address) -> Result<Self, ArchiveError> {
        let unreachable = |error| ArchiveError::Unreachable { at: at.clone(), fault: Fault(error) };
        let (mut config, encryption, identity) = settings(at)?;
        let tls = tls(&encryption, identity.as_ref()).map_err(|what| no_address(at, what))?;
        let tls = MakeRustlsConnect::new(tls);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(UNACKNOWLEDGED);
        }
        if config.get_application_name().is_none() {
            config.application_name("wanproof");
        }
        let driver = driver()?;
        let connecting = driver.spawn(async move {
            let mut connected = config.connect(tls.clone()).await;
            if let (Err(error), Encryption::Allowed) = (&connected, &encryption)
                && error.as_db_error().is_some()
            {
                // It answers, and lets nobody in so: as libpq does, it is asked once more,
                // encrypted.
                config.ssl_mode(SslMode::Require);
                let again = config.connect(tls.clone()).await;
                if again.as_ref().err().is_none_or(|error| error.as_db_error().is_some()) {
                    connected = again;
                }
            }
            if let (Err(error), Encryption::Offered) = (&connected, &encryption)
                && is_handshake(error)
            {
                // As libpq does. A certificate of version 1 is an example.
                tracing::warn!(
                    "PostgreSQL offers TLS that cannot be spoken, so it is asked in \
                    the clear: {error}"
                );
                config.ssl_mode(SslMode::Disable);
                connected = config.connect(tls).await;
            }
            let (client, connection) = connected?;
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::warn!("a connection to PostgreSQL ended: {}", Fault(error));
                }
            });
            Ok(client)
        });
        let client = wait(connecting).map_err(std::io::Error::other)?.map_err(unreachable)?;
        let db = Self { client, prepared: RefCell::default(), ended: Cell::default() };
        // A receipt is given for what is durable, whatever the server's default is.
        db.batch(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE \
                current_setting('synchronous_commit') = 'off'",
        )?;
        Ok(db)
    }

    /// Whether the connection is lost: it is closed, or the server has said that it ends it.
    pub fn is_closed(&self) -> bool {
        self.ended.get() || self.client.is_closed()
    }

    fn failed(&self, error: tokio_postgres::Error) -> ArchiveError {
        let severity = error.as_db_error().and_then(|said| said.parsed_severity());
        if error.is_closed() || matches!(severity, Some(Severity::Fatal | Severity::Panic)) {
            self.ended.set(true);
        }
        fault(error)
    }

    pub(super) fn execute(&self, sql: &str, args: &[Value<'_>]) -> Result<u64, ArchiveError> {
        self.execute_with(sql, &refs(args))
    }

    /// As [`Self::execute`], with parameters of PostgreSQL's own types, as arrays are.
    pub(super) fn execute_with(
        &self,
        sql: &str,
        args: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, ArchiveError> {
        let statement = self.prepared(sql)?;
        wait(self.client.execute(&statement, args)).map_err(|error| self.failed(error))
    }

    pub(super) fn batch(&self, sql: &str) -> Result<(), ArchiveError> {
        wait(self.client.batch_execute(sql)).map_err(|error| self.failed(error))
    }

    pub(super) fn query(&self, sql: &str, args: &[Value<'_>]) -> Result<Vec<Row>, ArchiveError> {
        self.query_with(sql, &refs(args))
    }

    /// As [`Self::query`], with parameters of PostgreSQL's own types, as arrays are.
    pub(super) fn query_with(
        &self,
        sql: &str,
        args: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, ArchiveError> {
        let statement = self.prepared(sql)?;
        wait(self.client.query(&statement, args)).map_err(|error| self.failed(error))
    }

    pub(super) fn each<E: From<ArchiveError>>(
        &self,
        sql: &str,
        args: &[Value<'_>],
        mut take: impl FnMut(&Row) -> Result<(), E>,
    ) -> Result<(), E> {
        let statement = self.prepared(sql)?;
        let rows: RowStream = wait(self.client.query_raw(&statement, refs(args)))
            .map_err(|error| E::from(self.failed(error)))?;
        let mut rows = pin!(rows);
        while let Some(row) = wait(Next(rows.as_mut())) {
            take(&row.map_err(|error| E::from(self.failed(error)))?)?;
        }
        Ok(())
    }

    fn prepared(&self, sql: &str) -> Result<Statement, ArchiveError> {
        if let Some(statement) = self.prepared.borrow().get(sql) {
            return Ok(statement.clone());
        }
        let statement =
            wait(self.client.prepare(&numbered(sql))).map_err(|error| self.failed(error))?;
        let mut prepared = self.prepared.borrow_mut();
        if prepared.len() >= STATEMENTS {
            prepared.clear();
        }
        prepared.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

/// Whether TLS was to be spoken, and could not; the driver says it only in words.
fn is_handshake(error: &tokio_postgres::Error) -> bool {
    error.to_string().contains("TLS handshake")
}

fn no_address(at: &Address, what: String) -> ArchiveError {
    ArchiveError::Address { at: at.clone(), what }
}

/// What the driver is to do by an address, and how the way there is protected.
///
/// # Errors
/// When the address is none.
pub(super) fn settings(
    at: &Address,
) -> Result<(Config, Encryption, Option<Identity>), ArchiveError> {
    let Parts { url, encryption, identity } = at.parts().map_err(|what| no_address(at, what))?;
    let mut config: Config =
        url.parse().map_err(|error| no_address(at, Fault(error).to_string()))?;
    // A socket's peer is this host itself: libpq encrypts nothing there either, whatever is asked
    // for.
    let is_socket = |host: &Host| matches!(host, Host::Unix(_));
    let all_sockets = config.get_hostaddrs().is_empty() && config.get_hosts().iter().all(is_socket);
    config.ssl_mode(match encryption {
        _ if all_sockets => SslMode::Disable,
        Encryption::Never | Encryption::Allowed => SslMode::Disable,
        Encryption::Offered => SslMode::Prefer,
        Encryption::Required | Encryption::Vouched(_) | Encryption::Named(_) => SslMode::Require,
    });
    Ok((config, encryption, identity))
}

/// TLS as the address wants it; the files are read anew for each connection.
fn tls(
    encryption: &Encryption,
    identity: Option<&Identity>,
) -> Result<rustls::ClientConfig, String> {
    let read = |key: &str, path: &Path| {
        let text = std::fs::read_to_string(path);
        text.map_err(|error| format!("{key} {} cannot be read: {error}", path.display()))
    };
    let trust = match encryption {
        Encryption::Never | Encryption::Allowed | Encryption::Offered | Encryption::Required => {
            Trust::Anyone
        }
        Encryption::Vouched(file) => Trust::AuthorityForAnyName(read("sslrootcert", file)?),
        Encryption::Named(Some(file)) => Trust::Authority(read("sslrootcert", file)?),
        Encryption::Named(None) => Trust::System,
    };
    let Some(Identity { cert, key }) = identity else {
        return trust::client(&trust).map_err(|error| error.to_string());
    };
    let (chain, private) = (read("sslcert", cert)?, read("sslkey", key)?);
    is_private(key)?;
    trust::client_as(&trust, &chain, &private).map_err(|error| {
        format!("sslcert {} with sslkey {}: {error}", cert.display(), key.display())
    })
}

/// Whether nobody else can read a private key's file: as for libpq, its owner alone, or root's
/// group where root owns it.
fn is_private(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt as _;
    let about = std::fs::metadata(path)
        .map_err(|error| format!("sslkey {} cannot be read: {error}", path.display()))?;
    let others = if about.uid() == 0 { 0o037 } else { 0o077 };
    if about.mode() & others == 0 {
        return Ok(());
    }
    Err(format!("sslkey {}: others can read it: chmod 600 it", path.display()))
}

/// `?1` as PostgreSQL writes it: `$1`.
fn numbered(sql: &str) -> String {
    let mut to = String::with_capacity(sql.len());
    let mut rest = sql.chars().peekable();
    while let Some(letter) = rest.next() {
        let parameter = letter == '?' && rest.peek().is_some_and(char::is_ascii_digit);
        to.push(if parameter { '$' } else { letter });
    }
    to
}

fn refs<'a>(args: &'a [Value<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    args.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        of: &Type,
        to: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(value) if *of == Type::INT4 => i32::try_from(*value)?.to_sql(of, to),
            Self::Int(value) if *of == Type::INT8 => value.to_sql(of, to),
            // PostgreSQL keeps every character but NUL, for which its picture stands; so that no
            // text breaks a transaction off.
            Self::Text(value) if <&str as ToSql>::accepts(of) && value.contains('\0') => {
                value.replace('\0', "\u{2400}").to_sql(of, to)
            }
            Self::Text(value) if <&str as ToSql>::accepts(of) => value.to_sql(of, to),
            Self::Blob(value) if *of == Type::BYTEA => value.to_sql(of, to),
            other => Err(format!("{other:?} where {of} is").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The next row of a stream.
struct Next<'a>(Pin<&'a mut RowStream>);

impl Future for Next<'_> {
    type Output = Option<Result<Row, tokio_postgres::Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll_next(cx)
    }
}

/// The thread that serves the sockets, begun at the first connection.
fn driver() -> std::io::Result<Handle> {
    static DRIVER: Mutex<Option<Handle>> = Mutex::new(None);
    let mut driver = DRIVER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*driver {
        return Ok(handle.clone());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let serve = move || runtime.block_on(std::future::pending::<()>());
    std::thread::Builder::new().name("postgres".to_owned()).spawn(serve)?;
    *driver = Some(handle.clone());
    Ok(handle)
}

/// Waits for an answer that the driver's thread brings. It parks the thread, and so works on one
/// that has a runtime of its own.
fn wait<F: Future>(answer: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut answer = pin!(answer);
    loop {
        match answer.as_mut().poll(&mut cx) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_written_as_postgresql_wants_them() {
        assert_eq!(numbered("SELECT ?1, '?' WHERE a = ?12"), "SELECT $1, '?' WHERE a = $12");
    }
}
