//! Takes what the collector answered: receipts are checked, refusals kept.

use crate::evidence::key::PublicKey;
use crate::evidence::problem::{Kind, Problem};
use crate::evidence::receipt::{self, Subject};
use crate::evidence::{enrol, summary};

use super::client::Outcome;
use super::trouble::Trouble;
use super::{Answer, Outbox, Round, Shipper, Waiting};

impl<O: Outbox> Shipper<O> {
    /// Believes and keeps what was said of each summary of a batch.
    pub(super) async fn settle(
        &mut self,
        batch: Vec<Waiting>,
        results: Vec<Outcome>,
        collector: &PublicKey,
    ) -> Result<(), Trouble> {
        let (asked, answered) = (batch.len(), results.len());
        let mut answers = Vec::new();
        let mut trouble = None;
        for (waiting, result) in batch.into_iter().zip(results) {
            match self.judge(&waiting, result, collector) {
                Ok(answer) => answers.push((waiting, answer)),
                Err(fault) => trouble = trouble.or(Some(fault)),
            }
        }
        let reenrol = trouble.as_ref().is_some_and(|trouble| trouble.reenrol);
        let settled = answers.len();
        let by = |key: PublicKey| {
            answers.iter().any(|(_, answer)| {
                matches!(answer, Answer::Accepted { receipt, .. }
                    if receipt::signer(receipt.as_bytes()) == Ok(key.kid()))
            })
        };
        let changed = self.keys.next.filter(|&next| by(next));
        if settled > 0 {
            self.outbox.settle(answers).await?;
            self.tell(|state| state.enrolled = Some(enrol::State::Approved));
        }
        if let Some(next) = changed {
            self.pin(next).await?;
        }
        if reenrol {
            // Not known there, or not any more: an enrolment may mend it, and if it does not, its
            // trouble is told.
            self.enrol(Some(*collector)).await?;
            return Err(Trouble::new(
                "the collector did not know this agent; it was enrolled again".to_owned(),
            ));
        }
        match trouble {
            Some(trouble) => Err(trouble),
            None if answered < asked => {
                Err(Trouble::new("the collector did not answer for every summary".to_owned()))
            }
            None => Ok(()),
        }
    }

    /// What an answer means for one summary.
    fn judge(
        &self,
        waiting: &Waiting,
        result: Outcome,
        collector: &PublicKey,
    ) -> Result<Answer, Trouble> {
        if result.digest != waiting.digest {
            return Err(Trouble::new(
                "the collector's answers are not for the summaries that were sent".to_owned(),
            ));
        }
        let Waiting { chain, seq, digest, .. } = *waiting;
        match result.said {
            Ok(receipt) => {
                // An outbox may still hold what was signed before this agent was another.
                let agent = summary::agent(&waiting.jws).unwrap_or(self.shipping.agent);
                let subject = Subject { agent, chain, seq, digest };
                // By the present key, the announced one, or a former one: a receipt that was given
                // is given again.
                let signer = receipt::signer(receipt.as_bytes()).ok();
                let key =
                    self.keys.all().find(|key| Some(key.kid()) == signer).unwrap_or(collector);
                let said = receipt::verify(receipt.as_bytes(), key)
                    .and_then(|said| said.is_for(&subject).map(|()| said))
                    .map_err(|fault| {
                        Trouble::slow(format!("a receipt is not believed: {fault}"))
                    })?;
                Ok(Answer::Accepted { receipt, received: said.received })
            }
            Err(problem) => match problem.kind() {
                Some(Kind::ChainConflict) => Ok(Answer::Conflict(problem)),
                Some(Kind::Malformed | Kind::TooLarge | Kind::Unsupported | Kind::BadSignature) => {
                    Ok(Answer::Refused(problem))
                }
                Some(Kind::UnknownAgent) => {
                    Err(Trouble { reenrol: true, ..Trouble::slow(problem.to_string()) })
                }
                Some(Kind::Revoked | Kind::Pending) => {
                    self.tell(|state| {
                        state.enrolled = (problem.kind() == Some(Kind::Pending))
                            .then_some(enrol::State::Pending);
                    });
                    Err(Trouble::slow(problem.to_string()))
                }
                _ => Err(Trouble::new(problem.to_string())),
            },
        }
    }

    /// The request was refused as a whole. What one of its summaries is to blame for is found by
    /// sending them one by one.
    pub(super) async fn whole(
        &mut self,
        mut batch: Vec<Waiting>,
        problem: Problem,
    ) -> Result<Round, Trouble> {
        match problem.kind() {
            Some(Kind::Malformed | Kind::TooLarge | Kind::Unsupported) if self.most > 1 => {
                self.most = 1;
                Ok(Round::Shipped)
            }
            Some(Kind::Malformed | Kind::TooLarge | Kind::Unsupported) => {
                batch.truncate(1);
                let answers = batch
                    .into_iter()
                    .map(|waiting| (waiting, Answer::Refused(problem.clone())))
                    .collect();
                self.outbox.settle(answers).await?;
                Ok(Round::Shipped)
            }
            _ => {
                Err(Trouble::new(format!("the collector answered {}: {problem}", problem.status())))
            }
        }
    }
}
