//! A node: one member of one group, running. And its builder.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use synod_core::service::{Service, ServiceConfig, ServiceLimits, StateMachine};
use synod_core::wire::{self, Decoder};
use synod_core::{
    ClusterId, Config, Configuration, GroupId, Header, Incarnation, Limits, NodeId, Recovered,
    Timeouts,
};
use synod_log::{FileDevice, FileLog, Log, LogConfig, MemoryLog};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::accept::accept;
use crate::config::{Data, Member, Transport};
use crate::doorstep::{Doorstep, Doorsteps};
use crate::event_loop::EventLoop;
use crate::faults::Faults;
use crate::handle::Handle;
use crate::host::Host;
use crate::link::{Identity, Link, LinkEvent};
use crate::log_side::LogSide;
use crate::queue::SendQueue;
use crate::read_thread::ReadThread;
use crate::sources::Sources;
use crate::submits;
use crate::{NodeError, StartError, clock};

/// A running node. It runs on tasks of its own; this only stands for it, and to drop it ends
/// nothing while there are handles.
#[derive(Debug)]
pub struct Node<R> {
    id: NodeId,
    handle: Handle<R>,
    /// Where it listens, unless it has no peers.
    address: Option<std::net::SocketAddr>,
}

/// Says what a node is to be, and starts it.
#[derive(Debug)]
pub struct Builder {
    cluster: ClusterId,
    group: GroupId,
    node: NodeId,
    members: Vec<Member>,
    listen: Option<String>,
    listener: Option<std::net::TcpListener>,
    data: Data,
    limits: Limits,
    timeouts: Timeouts,
    service_limits: ServiceLimits,
    forward: bool,
    transport: Transport,
    seed: Option<u64>,
}

impl<R> Node<R> {
    /// A handle on the node.
    #[must_use]
    pub fn handle(&self) -> Handle<R> {
        self.handle.clone()
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// The address that it listens on, with the port that the system chose for port 0. `None` for
    /// a group of one, which needs no network.
    #[must_use]
    pub const fn address(&self) -> Option<std::net::SocketAddr> {
        self.address
    }

    /// Waits until the node has ended, of itself or by a shutdown through a handle.
    ///
    /// # Errors
    /// When it ended by an error: its log failed, or its state machine panicked.
    pub async fn ended(&self) -> Result<(), NodeError> {
        self.handle.ended().await
    }
}

impl Node<()> {
    /// Begins to say what a node is to be: `node`, of a group of its own and with its log in
    /// memory, until told otherwise.
    #[must_use]
    pub fn builder(cluster: ClusterId, node: NodeId) -> Builder {
        Builder {
            cluster,
            group: GroupId(0),
            node,
            members: Vec::new(),
            listen: None,
            listener: None,
            data: Data::Memory { bytes_max: MEMORY_BYTES_MAX },
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            service_limits: ServiceLimits::default(),
            forward: true,
            transport: Transport::default(),
            seed: None,
        }
    }
}

impl Builder {
    /// The group, by default 0.
    #[must_use]
    pub const fn group(mut self, group: GroupId) -> Self {
        self.group = group;
        self
    }

    /// A member of the group and where it listens: `host:port`. Every node is to be given the same
    /// members, itself among them.
    #[must_use]
    pub fn member(mut self, node: NodeId, address: impl Into<String>) -> Self {
        self.members.push(Member { node, address: address.into() });
        self
    }

    /// Where to listen, when that is not the address that the peers dial.
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = Some(address.into());
        self
    }

    /// A socket that listens already, in place of an address.
    #[must_use]
    pub fn listener(mut self, listener: std::net::TcpListener) -> Self {
        self.listener = Some(listener);
        self
    }

    /// Where to keep the log. In memory, 1 GiB at most, unless told otherwise.
    #[must_use]
    pub fn data(mut self, data: Data) -> Self {
        self.data = data;
        self
    }

    /// The limits of the replica.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The timeouts of the replica. A [notice](Timeouts::notice) of zero means here: in the next
    /// turn of the loop, which begins at once. What is submitted meanwhile takes the news along.
    #[must_use]
    pub const fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// The limits of the service.
    #[must_use]
    pub const fn service_limits(mut self, limits: ServiceLimits) -> Self {
        self.service_limits = limits;
        self
    }

    /// Whether requests submitted here while another node leads are handed on to it; yes, unless
    /// told otherwise.
    #[must_use]
    pub const fn forward(mut self, forward: bool) -> Self {
        self.forward = forward;
        self
    }

    /// The limits and timeouts of the transport.
    #[must_use]
    pub const fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// The seed of the jitter of elections, drawn at random unless told otherwise.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Starts the node, on the tokio runtime that this is called in.
    ///
    /// It joins its group by itself as its peers can be reached. A group that is new forms only
    /// when every member has met every other: see
    /// [`NodeStatus::waiting_for`](crate::NodeStatus::waiting_for).
    ///
    /// # Errors
    /// When what was said cannot work, when the address is taken, or when the data cannot be had:
    /// see [`StartError`].
    pub async fn start<M>(
        self,
        machine: M,
    ) -> Result<(Node<M::Reply>, Handle<M::Reply>), StartError>
    where
        M: StateMachine + Send + 'static,
        M::Reply: Send + 'static,
    {
        let config = self.config()?;
        match &self.data {
            Data::Memory { bytes_max } => {
                let (log, recovered) = MemoryLog::new(draw_incarnation()?, *bytes_max);
                self.launch(config, log, recovered, machine).await
            }
            Data::Directory(path) => {
                let (path, whose) = (path.clone(), identity_of(&config));
                let log_config = LogConfig::for_limits(&config.replica.limits);
                let incarnation = draw_incarnation()?;
                let open = move || {
                    let device = FileDevice::open(&path)?;
                    FileLog::open(device, whose, log_config, incarnation)
                };
                // Recovery reads the whole log; that is nothing for a thread of the runtime.
                let opened = tokio::task::spawn_blocking(open).await;
                let died = |error| StartError::Thread(io::Error::other(error));
                let (log, recovered) = opened.map_err(died)??;
                self.launch(config, log, recovered, machine).await
            }
        }
    }

    /// Starts the node on a log of the caller's own, opened and recovered.
    ///
    /// # Errors
    /// As for [`start`](Self::start), but for the data.
    pub async fn start_on<M, L>(
        self,
        log: L,
        recovered: Recovered<Bytes>,
        machine: M,
    ) -> Result<(Node<M::Reply>, Handle<M::Reply>), StartError>
    where
        M: StateMachine + Send + 'static,
        M::Reply: Send + 'static,
        L: Log + Send + 'static,
    {
        let config = self.config()?;
        self.launch(config, log, recovered, machine).await
    }

    /// Checks everything that can be checked before anything is opened.
    fn config(&self) -> Result<ServiceConfig, StartError> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(StartError::NoRuntime);
        }
        self.members.iter().try_for_each(Member::check)?;
        let mut ids: Vec<NodeId> = self.members.iter().map(|member| member.node).collect();
        if ids.is_empty() {
            ids.push(self.node);
        }
        let configuration = Configuration::first(&ids)?;
        let mut replica = Config::new(self.cluster, self.group, self.node, configuration);
        replica.seed = match self.seed {
            Some(seed) => seed,
            None => draw()?,
        };
        replica.limits = self.limits;
        replica.timeouts = self.timeouts;
        replica.timeouts.notice = self.timeouts.notice.max(NEXT_TURN);
        replica.check()?;
        let frame_bytes_max = wire::frame_bytes_max(&self.limits);
        self.transport.check(frame_bytes_max, self.timeouts.heartbeat)?;
        Ok(ServiceConfig { replica, limits: self.service_limits, forward: self.forward })
    }

    async fn launch<M, L>(
        mut self,
        config: ServiceConfig,
        log: L,
        recovered: Recovered<Bytes>,
        machine: M,
    ) -> Result<(Node<M::Reply>, Handle<M::Reply>), StartError>
    where
        M: StateMachine + Send + 'static,
        M::Reply: Send + 'static,
        L: Log + Send + 'static,
    {
        let replica = &config.replica;
        let (node, limits) = (replica.node, replica.limits);
        let configuration = replica.configuration.clone();
        let (submits, submits_in) = submits::queue(self.transport.submits_waiting_max);
        let (orders, orders_in) = mpsc::channel(ORDERS_MAX);
        let (events, events_in) = mpsc::channel(EVENTS_MAX);
        let (leader, leader_out) = watch::channel(None);
        let (end, ended) = watch::channel(None);

        // Everything that can fail comes first; nothing runs until all of it is there.
        let listener = self.bind(configuration.members().len()).await?;
        let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let reader = log.reader();
        let service = Service::new(config, recovered, machine, clock::now())?;
        let (reads, answers) =
            ReadThread::start(reader, node, &limits).map_err(StartError::Thread)?;
        let (in_flight, busy_poll) = (limits.writes_in_flight_max, self.transport.busy_poll);
        let (log, reports) =
            LogSide::start(log, node, in_flight, busy_poll).map_err(StartError::Thread)?;

        let identity = Arc::new(self.identity(service.replica().header(), &configuration));
        let mut tasks = JoinSet::new();
        let (queues, doorsteps) = self.spawn_links(&identity, &events, &mut tasks);
        if let Some(listener) = listener {
            tasks.spawn(accept(listener, identity.clone(), doorsteps));
        }
        let host = Host::new(configuration.clone(), queues, log, reads, leader);
        let received = vec![0; configuration.members().len()];
        let batches_max = self.transport.receive_batches_max;
        let sources = Sources::new(
            configuration,
            batches_max,
            events_in,
            reports,
            answers,
            submits_in,
            orders_in,
        );
        let decoder = Decoder::with_crc(crate::checksum::crc32c, &limits);
        let event_loop =
            EventLoop { service, host, sources, identity, decoder, received, tasks, ends_by: None };
        tokio::spawn(async move {
            let outcome = event_loop.run().await;
            end.send_replace(Some(outcome));
        });
        let handle = Handle { submits, orders, leader: leader_out, ended };
        Ok((Node { id: node, handle: handle.clone(), address }, handle))
    }

    /// What the connections of this node share.
    fn identity(&self, header: Header, configuration: &Configuration) -> Identity {
        Identity {
            header,
            members: configuration.members().to_vec(),
            transport: self.transport,
            frame_bytes_max: wire::frame_bytes_max(&self.limits),
            known: Arc::default(),
            faults: Faults::default(),
        }
    }

    /// One link per peer; returns their queues, by index of the peer, and where to leave what the
    /// peers dial.
    fn spawn_links(
        &self,
        identity: &Arc<Identity>,
        events: &mpsc::Sender<LinkEvent>,
        tasks: &mut JoinSet<()>,
    ) -> (Vec<Option<Arc<SendQueue>>>, Doorsteps) {
        let mut doorsteps = Doorsteps::new();
        let mut queue_of = |node: &NodeId| {
            let peer = self.members.iter().find(|member| member.node == *node)?.clone();
            if peer.node == self.node {
                return None;
            }
            let queue = Arc::new(SendQueue::new(self.transport.send_queue_bytes_max));
            let (identity, events) = (identity.clone(), events.clone());
            let doorstep = Arc::new(Doorstep::default());
            doorsteps.push((peer.node, doorstep.clone()));
            let link = Link { identity, peer, queue: queue.clone(), doorstep, events };
            tasks.spawn(link.keep());
            Some(queue)
        };
        let queues = identity.members.iter().map(&mut queue_of).collect();
        (queues, doorsteps)
    }

    /// Binds the address to listen on; a group of one needs none.
    async fn bind(&mut self, members: usize) -> Result<Option<TcpListener>, StartError> {
        if let Some(listener) = self.listener.take() {
            let local = listener.local_addr();
            let address = local.map_or_else(|_| "a socket".into(), |address| address.to_string());
            let prepared = listener.set_nonblocking(true);
            let taken = prepared.and_then(|()| TcpListener::from_std(listener));
            return taken.map(Some).map_err(|error| StartError::Listen { address, error });
        }
        if members == 1 {
            return Ok(None);
        }
        let own = self.members.iter().find(|member| member.node == self.node);
        let address = self.listen.take().or_else(|| own.map(|own| own.address.clone()));
        let address = address.ok_or(StartError::NoAddress(self.node))?;
        match TcpListener::bind(&address).await {
            Ok(listener) => Ok(Some(listener)),
            Err(error) => Err(StartError::Listen { address, error }),
        }
    }
}

fn identity_of(config: &ServiceConfig) -> synod_log::Identity {
    let Config { cluster, group, node, configuration, .. } = &config.replica;
    synod_log::Identity {
        cluster: *cluster,
        group: *group,
        epoch: configuration.epoch(),
        node: *node,
    }
}

/// Names a new log.
fn draw_incarnation() -> Result<Incarnation, StartError> {
    // Zero stands for "not known".
    draw().map(|number| Incarnation(number.max(1)))
}

fn draw() -> Result<u64, StartError> {
    getrandom::u64().map_err(|error| StartError::Randomness(io::Error::other(error)))
}

/// How much a log in memory holds unless told otherwise.
const MEMORY_BYTES_MAX: usize = 1 << 30;
/// Orders that wait for the loop; more wait with their callers.
const ORDERS_MAX: usize = 16;
/// News of links that wait for the loop; more wait with their links.
const EVENTS_MAX: usize = 32;
/// Over by the next turn: the clock ticks in nanoseconds.
const NEXT_TURN: Duration = Duration::from_nanos(1);
