//! From outcomes to answers: what a client is told about a request that was submitted.

use synod_core::service::{Outcome, Why};

use crate::command;
use crate::resp::Writer;
use crate::store::Reply;

/// Writes what came of a request.
///
/// The one rule: `UNCERTAIN` if and only if it may have been applied. A read that may or may not
/// have been applied changed nothing either way, so it is certain.
pub(super) fn write(
    outcome: &Outcome<Reply>,
    is_read: bool,
    request_bytes_max: usize,
    writer: &mut Writer<'_>,
) {
    match outcome {
        Outcome::Applied { reply, slot: _, ballot: _ } => command::answer(reply, writer),
        Outcome::Unknown { ballot: _ } if is_read => {
            writer.error("TRYAGAIN the leader was lost while this was read; nothing was changed");
        }
        Outcome::Unknown { ballot } => writer.error(&format!(
            "UNCERTAIN this may or may not be applied: leadership {ballot} was lost while it was \
             in flight; read before writing again"
        )),
        Outcome::Refused(why) => writer.error(&refusal(*why, request_bytes_max)),
    }
}

/// The text for a request that was not and will not be applied.
fn refusal(why: Why, request_bytes_max: usize) -> String {
    let text = match why {
        Why::NoLeader => "CLUSTERDOWN no leader: too few replicas can reach each other",
        Why::NotLeader(_) => "CLUSTERDOWN this replica does not lead and does not forward",
        Why::OtherBallot(_) => "TRYAGAIN the leadership has changed",
        Why::Busy => "TRYAGAIN too many requests are in flight",
        Why::DeadlinePassed => "TRYAGAIN the request waited too long for its turn",
        Why::ShuttingDown => "CLUSTERDOWN this replica is shutting down",
        Why::Stopped => "MISCONF the log of this replica failed: use another and mend its disk",
        Why::TooLarge => {
            return format!(
                "ERR the command is larger than request_bytes_max, {request_bytes_max} bytes; it \
                 was not applied"
            );
        }
    };
    format!("{text}; it was not applied")
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use synod_core::{Ballot, NodeId};

    use super::*;
    use crate::resp::Version;

    fn text(outcome: &Outcome<Reply>, is_read: bool) -> String {
        let mut out = BytesMut::new();
        write(outcome, is_read, 99, &mut Writer::new(&mut out, Version::Two));
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn only_the_unknown_is_uncertain() {
        let ballot = Ballot { round: 4, node: NodeId(2) };
        let unknown = Outcome::Unknown { ballot };
        assert!(text(&unknown, false).starts_with("-UNCERTAIN "));
        assert!(text(&unknown, false).contains("4.2"));
        assert!(text(&unknown, true).starts_with("-TRYAGAIN "));
        let whys = [
            Why::NoLeader,
            Why::NotLeader(None),
            Why::OtherBallot(ballot),
            Why::Busy,
            Why::TooLarge,
            Why::DeadlinePassed,
            Why::ShuttingDown,
            Why::Stopped,
        ];
        for why in whys {
            for is_read in [false, true] {
                let text = text(&Outcome::Refused(why), is_read);
                assert!(text.starts_with('-') && !text.contains("UNCERTAIN"), "{text}");
                assert!(text.ends_with("not applied\r\n"), "{text}");
            }
        }
    }
}
