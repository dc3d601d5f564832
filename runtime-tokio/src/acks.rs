//! Acknowledgements of a connection on which nothing else goes back.

use tokio::net::TcpStream;

/// Has the system put off its acknowledgements.
///
/// Replicas answer on another connection than they are asked on. Left alone, the system takes a
/// connection without answers for a bulk transfer and acknowledges each read at once, which costs
/// both ends a packet. Put off, it acknowledges every other message, or after a while. When that
/// while has passed it acknowledges at once again, so it is told again as reads go on.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    reads: u64,
}

impl Acks {
    /// Something was read.
    pub(crate) fn put_off(&mut self, stream: &TcpStream) {
        if self.reads.is_multiple_of(READS_PER_REMINDER) {
            // A system that does not know the option acknowledges more often; that is all.
            #[cfg(target_os = "linux")]
            let _ = stream.set_quickack(false);
            #[cfg(not(target_os = "linux"))]
            let _ = stream;
        }
        self.reads += 1;
    }
}

const READS_PER_REMINDER: u64 = 64;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_system_is_told_again_as_reads_go_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (near, _far) = (near.expect("a connection"), far.expect("a connection"));
        let mut acks = Acks::default();
        for _ in 0..3 {
            near.set_quickack(true).expect("Linux knows it");
            acks.put_off(&near);
            assert!(!near.quickack().expect("Linux knows it"));
            near.set_quickack(true).expect("Linux knows it");
            for _ in 1..READS_PER_REMINDER {
                acks.put_off(&near);
                assert!(near.quickack().expect("Linux knows it"), "a call for each read");
            }
        }
    }
}
