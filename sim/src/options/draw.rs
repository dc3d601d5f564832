//! What a seed draws: the kind of a run.

use std::time::Duration;

use synod_core::service::ServiceLimits;
use synod_core::{Limits, Quorums, Timeouts};

use super::{
    ClientOptions, DiskOptions, Fault, NemesisOptions, NetworkOptions, Options, ProcessOptions,
    service_limits,
};
use crate::clock::{ms, nanos};
use crate::mischief::Withheld;
use crate::prng::Prng;

impl Options {
    /// The options of `seed`; `nodes` and `faults_for` override what it draws.
    #[must_use]
    pub fn draw(seed: u64, nodes: Option<usize>, faults_for: Option<Duration>) -> Self {
        let mut prng = Prng::new(seed, "options");
        let drawn = prng.pick(&[3, 3, 3, 3, 5, 5, 5, 1, 2, 4, 7]);
        let nodes = nodes.unwrap_or(drawn);
        let drawn = ms(prng.within(2_000, 15_000));
        let timeouts = draw_timeouts(&mut prng);
        let limits = draw_limits(&mut prng);
        let mut options = Self {
            seed,
            nodes,
            quorums: draw_quorums(&mut prng, nodes),
            faults_for: faults_for.unwrap_or(drawn),
            service: draw_service(&mut prng, &limits),
            limits,
            timeouts,
            forward: prng.chance(750_000),
            hints: prng.chance(500_000),
            durable_machines: prng.chance(300_000),
            heal_core_only: prng.chance(300_000),
            network: draw_network(&mut prng, &timeouts),
            disk: draw_disk(&mut prng, &timeouts),
            process: draw_process(&mut prng, &timeouts),
            nemesis: draw_nemesis(&mut prng, &timeouts),
            client: draw_client(seed, &mut prng, &limits, &timeouts),
            over_the_limit: false,
            sparse_ids: prng.chance(300_000),
            withheld: Withheld::default(),
        };
        draw_more(&mut Prng::new(seed, "more options"), &mut options);
        draw_leaders(&mut Prng::new(seed, "leader options"), &mut options);
        draw_revivals(&mut Prng::new(seed, "revival options"), &mut options);
        draw_tails(&mut Prng::new(seed, "tail options"), &mut options);
        options.network.garble_ppm = sometimes(&mut Prng::new(seed, "garbling options"), 50_000);
        draw_plots(&mut Prng::new(seed, "plot options"), &mut options);
        let notice = &mut Prng::new(seed, "notice");
        if notice.chance(500_000) {
            options.timeouts.notice = timeouts.heartbeat / notice.within(1, 50) as u32;
        }
        draw_past(&mut Prng::new(seed, "past"), &mut options);
        options
    }
}

/// What came later: drawn behind everything else, from a stream of its own.
fn draw_more(prng: &mut Prng, options: &mut Options) {
    let beat = nanos(options.timeouts.heartbeat);
    let network = &mut options.network;
    network.splice_ppm = sometimes(prng, 20_000);
    network.misdirect_ppm = sometimes(prng, 50_000);
    network.foreign_ppm = sometimes(prng, 20_000);
    network.uneven_ppm = sometimes(prng, 500_000);
    network.remembers = prng.chance(500_000);
    let process = &mut options.process;
    process.late_timer_ppm = sometimes(prng, 50_000);
    process.late_timer_nanos = beat * prng.within(1, 40);
    let disk = &mut options.disk;
    disk.error_ppm = sometimes(prng, 500);
    disk.read_error_ppm = sometimes(prng, 20_000);
    disk.short_ppm = sometimes(prng, 100_000);
    options.over_the_limit = prng.chance(30_000);
    let often = prng.pick(&[100_000, 300_000, 600_000]);
    for weight in &mut options.nemesis.weights[FIRST_FAULTS..LAST_FAULTS] {
        *weight = if prng.chance(often) { prng.within(1, 10) as u32 } else { 0 };
    }
    if !options.over_the_limit {
        // What few disks may suffer.
        for weight in &mut options.nemesis.weights[Fault::BitRot as usize..LAST_FAULTS] {
            *weight = (*weight).min(2);
        }
    }
    if prng.chance(50_000) {
        // What is on its way is asked for again and again.
        options.timeouts.resend = ms(1);
    }
}

/// The faults whose weights are drawn with the other options.
const FIRST_FAULTS: usize = Fault::LoseKind as usize;

/// The faults from here on are drawn from a stream of their own.
const LAST_FAULTS: usize = Fault::Relay as usize;

/// Faults that follow the leaders: rarely drawn, and then often met.
fn draw_leaders(prng: &mut Prng, options: &mut Options) {
    for weight in &mut options.nemesis.weights[LAST_FAULTS..Fault::Revive as usize] {
        *weight = if prng.chance(150_000) { prng.within(5, 60) as u32 } else { 0 };
    }
}

/// The past comes back: rarely drawn, and then often met.
fn draw_revivals(prng: &mut Prng, options: &mut Options) {
    if prng.chance(150_000) {
        options.nemesis.weights[Fault::Revive as usize] = prng.within(10, 60) as u32;
    }
}

/// Tails are torn, where several writes may be under way.
fn draw_tails(prng: &mut Prng, options: &mut Options) {
    if prng.chance(150_000) && options.limits.writes_in_flight_max > 1 {
        options.nemesis.weights[Fault::DeadTail as usize] = prng.within(20, 100) as u32;
    }
}

/// Where the plots begin, which are drawn from a stream of their own.
const FIRST_PLOT: usize = Fault::StaleAnswers as usize;

/// Plots keep other faults from beginning, so few runs have them, and those have many.
fn draw_plots(prng: &mut Prng, options: &mut Options) {
    for weight in &mut options.nemesis.weights[FIRST_PLOT..Fault::RingBehind as usize] {
        *weight = if prng.chance(80_000) { prng.within(10, 100) as u32 } else { 0 };
    }
    // The two who lag must be few enough for the others.
    let can_lag = options.nodes >= options.quorums.phase2 + 2
        && options.nodes > options.quorums.both()
        && options.nodes > 3;
    if can_lag && prng.chance(250_000) {
        options.nemesis.weights[Fault::RingBehind as usize] = prng.within(10, 100) as u32;
        // A ring that is gone through in time.
        options.limits.window = options.limits.window.min(1 << prng.within(1, 3));
        options.service.pipeline = options.service.pipeline.min(options.limits.window);
    }
}

/// What laggards need is in the log only, more often than not.
fn draw_past(prng: &mut Prng, options: &mut Options) {
    if prng.chance(600_000) {
        options.limits.past_bytes_max = prng.pick(&[0, 0, 100, 1_000, 10_000]);
    }
}

/// Zero half of the time, else up to `most`, small ones as likely as large ones.
fn sometimes(prng: &mut Prng, most: u32) -> u32 {
    if prng.chance(500_000) {
        return 0;
    }
    let range = u64::from(most) >> prng.below(8);
    prng.below(range.max(1)) as u32
}

fn draw_timeouts(prng: &mut Prng) -> Timeouts {
    let heartbeat = prng.within(10, 60);
    let election = heartbeat * prng.within(4, 10);
    Timeouts {
        heartbeat: ms(heartbeat),
        election: ms(election),
        election_jitter: ms(prng.within(election / 4, election)),
        step_down: ms(heartbeat * prng.within(4, 10)),
        resend: ms(heartbeat * prng.within(1, 6)),
        disk_stall: ms(election * prng.within(1, 4)),
        notice: Duration::ZERO,
    }
}

fn draw_limits(prng: &mut Prng) -> Limits {
    let decree_bytes_max = prng.pick(&[512, 1024, 4096]);
    Limits {
        window: 1 << prng.within(1, 6),
        past_bytes_max: Limits::default().past_bytes_max,
        decree_bytes_max,
        run_slots_max: prng.pick(&[1, 2, 3, 8, 32]),
        run_bytes_max: prng.pick(&[64, 512, 4096]),
        writes_in_flight_max: prng.within(1, 6) as usize,
    }
}

fn draw_service(prng: &mut Prng, limits: &Limits) -> ServiceLimits {
    let pipeline = prng.pick(&[1, 2, 4, 16]).min(limits.window);
    let batch = prng.pick(&[1, 2, 8, 64]);
    let mut service = service_limits(limits, pipeline, batch);
    service.requests_pending_max = prng.pick(&[8, 64, 1024]);
    service.forward_requests_max = prng.pick(&[2, 16, 256]);
    service.request_timeout = ms(prng.pick(&[300, 1_000, 5_000]));
    service
}

fn draw_quorums(prng: &mut Prng, nodes: usize) -> Quorums {
    if nodes > 2 && prng.chance(200_000) {
        let phase2 = prng.within(2, nodes as u64) as usize;
        return Quorums { phase1: nodes - phase2 + 1, phase2 };
    }
    Quorums::majority(nodes)
}

fn draw_network(prng: &mut Prng, timeouts: &Timeouts) -> NetworkOptions {
    let beat = nanos(timeouts.heartbeat);
    NetworkOptions {
        delay_least_nanos: prng.within(1_000, 500_000),
        delay_nanos: prng.within(10_000, beat / 4),
        tail_ppm: sometimes(prng, 200_000),
        tail_nanos: beat * prng.within(1, 20),
        loss_ppm: sometimes(prng, 300_000),
        double_ppm: sometimes(prng, 300_000),
        replay_ppm: sometimes(prng, 200_000),
        replay_nanos: beat * prng.within(10, 200),
        damage_ppm: sometimes(prng, 50_000),
        capacity: prng.pick(&[4, 16, 64, 1_000, 10_000, 10_000, 10_000]),
        ..NetworkOptions::default()
    }
}

fn draw_disk(prng: &mut Prng, timeouts: &Timeouts) -> DiskOptions {
    let beat = nanos(timeouts.heartbeat);
    // Where reads are slow, laggards stay behind for long, and campaign with a short log.
    let slow_reads = prng.chance(300_000);
    let read_most = if slow_reads { nanos(timeouts.election) * 4 } else { beat / 2 };
    DiskOptions {
        sync_least_nanos: prng.within(0, 500_000),
        sync_nanos: prng.within(1_000, beat / 2),
        stall_ppm: sometimes(prng, 20_000),
        stall_nanos: beat * prng.within(1, 100),
        fail_ppm: sometimes(prng, 2_000),
        read_nanos: prng.within(1_000, read_most),
        settle_ppm: sometimes(prng, 500_000),
        sector_bytes: prng.pick(&[512, 4096]),
        segment_records: prng.within(1, 12),
        ..DiskOptions::default()
    }
}

fn draw_process(prng: &mut Prng, timeouts: &Timeouts) -> ProcessOptions {
    let beat = nanos(timeouts.heartbeat);
    ProcessOptions {
        turn_nanos: prng.pick(&[0, 10_000, 100_000, 1_000_000]),
        drift_ppm: prng.pick(&[0, 100, 10_000, 300_000]),
        offset_nanos: prng.pick(&[0, 1_000_000_000, 1_000_000_000_000_000]),
        doze_ppm: sometimes(prng, 5_000),
        doze_nanos: beat * prng.within(1, 40),
        die_at_action_ppm: sometimes(prng, 2_000),
        ..ProcessOptions::default()
    }
}

fn draw_nemesis(prng: &mut Prng, timeouts: &Timeouts) -> NemesisOptions {
    let election = nanos(timeouts.election);
    let mut weights = [0; Fault::COUNT];
    for weight in &mut weights[..FIRST_FAULTS] {
        // Leaving half of the faults out lets the others act for long enough to matter.
        *weight = if prng.chance(500_000) { 0 } else { prng.within(1, 10) as u32 };
    }
    // The loss of every process at once is rare in life, and hides what else goes wrong.
    weights[Fault::CrashAll as usize] = weights[Fault::CrashAll as usize].min(2);
    weights[Fault::Wipe as usize] = weights[Fault::Wipe as usize].min(1);
    let quiet = prng.chance(100_000);
    NemesisOptions {
        every_nanos: if quiet { 0 } else { prng.within(election / 2, election * 6) },
        lasts_nanos: prng.within(election / 4, election * 6),
        weights,
    }
}

fn draw_client(seed: u64, prng: &mut Prng, limits: &Limits, timeouts: &Timeouts) -> ClientOptions {
    let beat = nanos(timeouts.heartbeat);
    // A stream of its own: what was added later does not shift the options before it.
    let own = &mut Prng::new(seed, "client options");
    ClientOptions {
        every_nanos: nanos(ms(prng.within(5, 60))),
        burst_max: prng.pick(&[1, 2, 8, 20]),
        body_max: prng.within(16, (limits.decree_bytes_max - 200) as u64 / 2),
        exclusive_ppm: sometimes(prng, 300_000),
        deadline_ppm: sometimes(prng, 300_000),
        only_in_ppm: sometimes(prng, 200_000),
        sessions: own.pick(&[0, 1, 2, 4, 8, 16]),
        think_nanos: beat * own.pick(&[1, 2, 8]),
        patience_nanos: nanos(timeouts.election) * own.pick(&[1, 4, 16]),
        retries_max: own.pick(&[0, 3, 20]),
        wander_ppm: sometimes(own, 500_000),
        oversize_ppm: sometimes(own, 20_000),
        empty_ppm: sometimes(own, 20_000),
        keys: own.pick(&[1, 2, 8, 32]),
        hot_ppm: sometimes(own, 900_000),
    }
}
