//! A group whose members are all connected: how soon they all have a message, at light load.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::failure::Failure;
use super::super::output::{line, note};
use super::floor::{self, Floor};
use super::group::Args;
use super::group_setup::{dismiss, make};
use super::load::{Role, Run, Seen, Target};
use super::rounds::{Faults, median};
use super::{on_one_thread, quantile, quantiles, words};

/// How long the disk is measured before each round.
const FLOOR_TIME: Duration = Duration::from_secs(1);

/// Measures and prints.
pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let mut rounds = Vec::new();
    for number in 1..=args.rounds.rounds {
        args.rounds.note(number, "measuring the disk, then sending");
        let floor = floor::measure(&args.floor_dir, FLOOR_TIME, None).await?;
        let seen = on_one_thread(round(args.clone())).await?;
        note(&format!("  delivery {}", words(&seen.delivery_times)));
        rounds.push((seen, floor));
    }
    let mut faults = Faults::default();
    for (seen, _) in &rounds {
        faults.add(&seen.faults);
    }
    let members = args.online.unwrap_or_default();
    let of = |value: &dyn Fn(&Seen) -> f64| median(rounds.iter().map(|(seen, _)| value(seen)));
    let delivery = |share: f64| of(&|seen| quantile(&seen.delivery_times, share));
    let answer = |share: f64| of(&|seen| quantile(&seen.answer_times, share));
    let floor_p50 = median(rounds.iter().map(|(_, floor)| floor.p50_ms()));
    if args.json {
        let report = json!({
            "online": members,
            "rate": args.rate,
            "median": {
                "deliveryP50Ms": delivery(0.5),
                "deliveryP99Ms": delivery(0.99),
                "answerP50Ms": answer(0.5),
                "answerP99Ms": answer(0.99),
                "floorP50Ms": floor_p50,
            },
            "missing": faults.missing_count,
            "doubles": faults.double_count,
            "errors": faults.error_count,
            "firstError": faults.first_error,
            "rounds": rounds.iter().map(to_json).collect::<Vec<_>>(),
        });
        line(&report.to_string())?;
    } else {
        line(&format!("load          one member of {members}, all connected, sends {}/s", args.rate))?;
        line(&format!(
            "rounds        {} of {} s; each figure is its median",
            rounds.len(),
            args.rounds.seconds
        ))?;
        line(&format!(
            "delivery      p50 {:.2} ms, p99 {:.2} ms, from before the send to each member",
            delivery(0.5),
            delivery(0.99)
        ))?;
        line(&format!("answer        p50 {:.2} ms, p99 {:.2} ms", answer(0.5), answer(0.99)))?;
        let (missing, doubles) = (faults.missing_count, faults.double_count);
        line(&format!("errors        {}, {missing} not arrived, {doubles} twice", faults.error_count))?;
        line(&format!("fsync floor   p50 {floor_p50:.3} ms"))?;
    }
    faults.verdict()
}

fn to_json((seen, floor): &(Seen, Floor)) -> Value {
    json!({
        "messages": seen.answer_times.len(),
        "delivery": quantiles(&seen.delivery_times),
        "answer": quantiles(&seen.answer_times),
        "floor": floor.to_json(),
    })
}

async fn round(args: Args) -> Result<Seen, Failure> {
    let members = args.online.unwrap_or_default() as usize;
    let people = args.people.list("bench-online", members)?;
    let users: Vec<String> = people.iter().map(|person| person.user.clone()).collect();
    let mut connections = args.people.connect(&people).await?.into_iter();
    let mut owner = connections.next().ok_or_else(|| Failure::usage("--online needs members"))?;
    let group = make(&mut owner, &users, "group").await?;
    let sends = Role::Send {
        number: 0,
        target: Target::Group(group.clone()),
        every: Some(Duration::from_secs_f64(1.0 / args.rate)),
    };
    let readers = connections.map(|connection| (connection, Role::Read));
    let all = std::iter::once((owner, sends)).chain(readers).collect();
    let run = Run::new(args.rounds.seconds, None);
    let (seen, _) = run.carry_out(all, members as u64).await?;
    let mut owner = args.people.connect_one(&people[0]).await?;
    dismiss(&mut owner, group).await?;
    Ok(seen)
}
