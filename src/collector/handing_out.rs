//! What agents ask for: the collector's keys, and the contracts that concern their site, signed.

use std::sync::{Arc, PoisonError};

use crate::base::time::{Clock, SystemClock};
use crate::collector::Collector;
use crate::collector::archive::Archive;
use crate::collector::archive::agents::AgentStatus;
use crate::collector::caller::Caller;
use crate::collector::concurrency::Work;
use crate::collector::fault::Fault;
use crate::collector::limits::Counted;
use crate::collector::operations::agreements::Book;
use crate::evidence::answer;
use crate::evidence::problem::{Kind, Problem};
use crate::evidence::request::{self, NotGranted, ReadRequest, Request};

impl Collector {
    /// The collector's keys, signed.
    pub(super) fn keys(&self) -> String {
        let next = *self.next.read().unwrap_or_else(PoisonError::into_inner);
        answer::sign_keys(next, &self.key)
    }

    /// The contracts that concern the agent that asks, signed.
    pub(super) async fn contracts(
        self: &Arc<Self>,
        bearer: String,
        method: &str,
        path: &str,
        caller: &Caller,
    ) -> Result<String, Fault> {
        let (collector, method, path) = (Arc::clone(self), method.to_owned(), path.to_owned());
        let admitting = self.read_for(caller.repute(), Work::Short, move |archive| {
            let asked =
                ReadRequest { collector: collector.key.kid(), method: &method, path: &path };
            collector.admit(archive, bearer.as_bytes(), asked)
        });
        let (site, Request { agent, jti, exp, .. }) = admitting.await?;
        caller.peer.authenticated();
        // All replicas know what was granted: a request is good once, whichever it is sent to.
        let now = SystemClock.now().wall;
        if !self.writer()?.write(move |archive| archive.grant(agent, &jti, exp, now)).await? {
            return Err(Problem::new(Kind::Unauthorized, "its jti was used before").into());
        }
        let collector = Arc::clone(self);
        self.read(move |archive| {
            let contracts =
                Book::load(archive, collector.config().contracts_dir.as_deref())?.of_site(&site);
            Ok(answer::sign_contracts(contracts, &collector.key))
        })
        .await
    }

    /// Whether an agent may read, if it did not do so by this very request before; gives its site.
    fn admit(
        &self,
        archive: &Archive,
        bearer: &[u8],
        asked: ReadRequest<'_>,
    ) -> Result<(String, Request), Fault> {
        let now = SystemClock.now();
        let refused = |fault: NotGranted| {
            let kind = match fault {
                NotGranted::Jws(_) | NotGranted::Form(_) => Kind::Malformed,
                NotGranted::Signature(_) => Kind::BadSignature,
                NotGranted::Other | NotGranted::Time => Kind::Unauthorized,
            };
            Problem::new(kind, fault)
        };
        let kid = request::signer(bearer).map_err(refused)?;
        let known = archive.key(kid)?.filter(|known| known.last.is_none());
        let known = known.ok_or_else(|| {
            Problem::new(Kind::UnknownAgent, format_args!("no agent has the key {kid}"))
        })?;
        match known.standing {
            AgentStatus::Approved => {}
            AgentStatus::Pending => {
                return Err(
                    Problem::new(Kind::Pending, "an operator has to approve it first").into()
                );
            }
            AgentStatus::Revoked => {
                return Err(Problem::new(Kind::Revoked, "this agent was revoked").into());
            }
        }
        let request = request::verify(bearer, &known.key, asked, now.wall).map_err(refused)?;
        if request.agent != known.agent {
            return Err(Problem::new(
                Kind::BadSignature,
                "its agent is not the one whose key signed it",
            )
            .into());
        }
        self.count(request.agent, Counted::New)?;
        Ok((known.site, request))
    }
}
