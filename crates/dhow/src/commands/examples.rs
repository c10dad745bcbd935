//! An example for each command, which its `--help` shows.

use clap::Command;

/// What each example is of, and the examples.
const EXAMPLES: &[(&str, &[&str])] = &[
    (
        "up",
        &[
            "dhow up",
            "dhow up --data /srv/dhow --listen 0.0.0.0:9000 --tls",
            "dhow up --regions 3 --data ./fleet",
        ],
    ),
    ("serve", &["dhow serve --config /etc/dhow/dhow.toml"]),
    ("env", &["eval \"$(dhow env --data /srv/dhow)\""]),
    (
        "account create",
        &[
            "dhow account create acme",
            "dhow account create acme --guard EU",
        ],
    ),
    ("account suspend", &["dhow account suspend acme"]),
    ("account resume", &["dhow account resume acme"]),
    (
        "account alias",
        &[
            "dhow account alias --account acme",
            "dhow account alias acme-prod --account acme",
        ],
    ),
    (
        "account access",
        &[
            "dhow account access acme",
            "dhow account access acme --block all",
        ],
    ),
    (
        "account guard-policy",
        &[
            "dhow account guard-policy acme",
            "dhow account guard-policy acme --set guard.json",
            "dhow account guard-policy acme --remove",
        ],
    ),
    ("account list", &["dhow account list --json"]),
    (
        "session end",
        &["dhow session end DHSTEXAMPLEEXAMPLEEXAMPLEEXAMP --account acme"],
    ),
    ("key list", &["dhow key list"]),
    ("key disable", &["dhow key disable DHOWEXAMPLEKEY"]),
    ("key enable", &["dhow key enable DHOWEXAMPLEKEY"]),
    ("key delete", &["dhow key delete DHOWEXAMPLEKEY"]),
    ("key recover", &["dhow key recover --data /srv/dhow"]),
    (
        "registry catch-up",
        &[
            "dhow registry catch-up --data /srv/dhow --dry-run",
            "dhow registry catch-up --data /srv/dhow",
        ],
    ),
    ("user list", &["dhow user list --account acme"]),
    ("user delete", &["dhow user delete --account acme anna"]),
    (
        "user key create",
        &["dhow user key create --account acme anna"],
    ),
    ("user key list", &["dhow user key list --account acme anna"]),
    (
        "user key disable",
        &["dhow user key disable --account acme anna DHOWEXAMPLEKEY"],
    ),
    (
        "user key enable",
        &["dhow user key enable --account acme anna DHOWEXAMPLEKEY"],
    ),
    (
        "user key delete",
        &["dhow user key delete --account acme anna DHOWEXAMPLEKEY"],
    ),
    (
        "user policy put",
        &["dhow user policy put --account acme anna reads reads.json"],
    ),
    (
        "user policy list",
        &["dhow user policy list --account acme anna"],
    ),
    (
        "user policy show",
        &["dhow user policy show --account acme anna reads"],
    ),
    (
        "user policy delete",
        &["dhow user policy delete --account acme anna reads"],
    ),
    ("role list", &["dhow role list --account acme"]),
    ("role delete", &["dhow role delete --account acme backup"]),
    (
        "role trust put",
        &["dhow role trust put --account acme backup trust.json"],
    ),
    (
        "role trust show",
        &["dhow role trust show --account acme backup"],
    ),
    (
        "role policy put",
        &["dhow role policy put --account acme backup writes writes.json"],
    ),
    (
        "role policy list",
        &["dhow role policy list --account acme backup"],
    ),
    (
        "role policy show",
        &["dhow role policy show --account acme backup writes"],
    ),
    (
        "role policy delete",
        &["dhow role policy delete --account acme backup writes"],
    ),
    ("group list", &["dhow group list --account acme"]),
    (
        "group members",
        &["dhow group members --account acme staff"],
    ),
    ("group add", &["dhow group add --account acme staff anna"]),
    (
        "group remove",
        &["dhow group remove --account acme staff anna"],
    ),
    ("group delete", &["dhow group delete --account acme staff"]),
    (
        "group policy put",
        &["dhow group policy put --account acme staff reads reads.json"],
    ),
    (
        "group policy list",
        &["dhow group policy list --account acme staff"],
    ),
    (
        "group policy show",
        &["dhow group policy show --account acme staff reads"],
    ),
    (
        "group policy delete",
        &["dhow group policy delete --account acme staff reads"],
    ),
    ("policy list", &["dhow policy list --account acme"]),
    ("policy show", &["dhow policy show --account acme reads"]),
    (
        "policy update",
        &["dhow policy update --account acme reads reads.json"],
    ),
    (
        "policy versions",
        &["dhow policy versions --account acme reads"],
    ),
    (
        "policy default",
        &["dhow policy default --account acme reads v2"],
    ),
    (
        "policy delete-version",
        &["dhow policy delete-version --account acme reads v1"],
    ),
    (
        "policy attach",
        &["dhow policy attach --account acme reads --user anna"],
    ),
    (
        "policy detach",
        &["dhow policy detach --account acme reads --user anna"],
    ),
    (
        "policy attached",
        &["dhow policy attached --account acme --user anna"],
    ),
    (
        "policy delete",
        &["dhow policy delete --account acme reads"],
    ),
    (
        "region plan",
        &["dhow region plan me-east-1 --jurisdiction AE --city Dubai"],
    ),
    (
        "region open",
        &["dhow region open me-east-1 --jurisdiction AE --city Dubai --wait"],
    ),
    ("region list", &["dhow region list"]),
    ("region show", &["dhow region show me-east-1"]),
    (
        "region drain",
        &[
            "dhow region drain me-east-1 --move --dry-run",
            "dhow region drain me-east-1 --move --to eu-central-1",
            "dhow region drain me-east-1 --status",
            "dhow region drain me-east-1 --abort",
        ],
    ),
    ("region reopen", &["dhow region reopen me-east-1"]),
    ("region rekey", &["dhow region rekey me-east-1"]),
    (
        "region revoke",
        &["dhow region revoke me-east-1 --serial 4a01f2"],
    ),
    ("region step-back", &["dhow region step-back me-east-1"]),
    (
        "region allow",
        &["dhow region allow me-east-1 --address dubai.example.net:9003"],
    ),
    ("region close", &["dhow region close me-east-1"]),
    (
        "region promote",
        &[
            "dhow region promote me-east-1 --dry-run",
            "dhow region promote me-east-1 --to eu-central-1",
        ],
    ),
    (
        "operator add",
        &["dhow operator add gulf --name \"Gulf Hosting\""],
    ),
    ("operator list", &["dhow operator list"]),
    ("operator show", &["dhow operator show gulf"]),
    (
        "bucket create",
        &[
            "dhow bucket create films --home eu-central-1",
            "dhow bucket create films --owner acme --home eu-central-1 --replica me-east-1",
        ],
    ),
    (
        "bucket place",
        &[
            "dhow bucket place films --add-replica me-east-1 --wait",
            "dhow bucket place films --jurisdiction EU --dry-run",
        ],
    ),
    (
        "bucket promote",
        &[
            "dhow bucket promote films --dry-run",
            "dhow bucket promote films --to me-east-1",
        ],
    ),
    ("bucket move", &["dhow bucket move films --to eu-central-1"]),
    ("bucket list", &["dhow bucket list"]),
    ("bucket show", &["dhow bucket show films"]),
    ("doctor", &["dhow doctor --data /srv/dhow"]),
    (
        "scrub",
        &["dhow scrub --data /srv/dhow", "dhow scrub --repair"],
    ),
    ("audit show", &["dhow audit show --from 100"]),
    (
        "audit verify",
        &[
            "dhow audit verify --save seen.json",
            "dhow audit verify --since seen.json",
        ],
    ),
    ("residency check", &["dhow residency check films"]),
    (
        "residency prove",
        &["dhow residency prove films --out films.json"],
    ),
    ("residency verify", &["dhow residency verify films.json"]),
    (
        "bench",
        &[
            "dhow bench put --size 4KiB --time 10s",
            "dhow bench get --size 64MiB --endpoint http://127.0.0.1:9000",
        ],
    ),
    (
        "config print-default",
        &["dhow config print-default > dhow.toml"],
    ),
    ("config check", &["dhow config check dhow.toml"]),
];

/// The command line with its examples.
pub fn add(command: Command) -> Command {
    add_under(command, "")
}

fn add_under(mut command: Command, path: &str) -> Command {
    let names: Vec<String> = command
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned())
        .collect();
    for name in names {
        let path = match path {
            "" => name.clone(),
            path => format!("{path} {name}"),
        };
        command = command.mut_subcommand(name, |sub| add_under(sub, &path));
    }
    let found = EXAMPLES.iter().find(|(of, _)| *of == path);
    match found {
        Some((_, examples)) => command.after_help(text(examples)),
        None => command,
    }
}

fn text(examples: &[&str]) -> String {
    let title = match examples.len() {
        1 => "Example",
        _ => "Examples",
    };
    format!("{title}:\n  {}", examples.join("\n  "))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::commands::Cli;

    /// The words of a line of a shell, without what it redirects or evaluates.
    fn words(line: &str) -> Vec<String> {
        let line = line.trim_start_matches("eval \"$(").trim_end_matches(")\"");
        let line = line.split(" > ").next().unwrap();
        let quoted = line
            .split('"')
            .enumerate()
            .flat_map(|(n, part)| match n % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect(),
                _ => vec![part.to_owned()],
            });
        quoted.collect()
    }

    #[test]
    fn every_example_is_a_command_that_can_be_given() {
        for (of, examples) in EXAMPLES {
            assert!(!examples.is_empty(), "{of}");
            for example in *examples {
                assert!(
                    words(example).join(" ").starts_with(&format!("dhow {of}")),
                    "{example} is an example of {of}"
                );
                let parsed = Cli::try_parse_from(words(example));
                assert!(parsed.is_ok(), "{example}: {}", parsed.err().unwrap());
            }
        }
    }

    #[test]
    fn every_command_shows_an_example() {
        fn look(command: &mut Command, path: &str, without: &mut Vec<String>) {
            let mut leaf = true;
            for sub in command.get_subcommands_mut() {
                leaf = false;
                let path = format!("{path} {}", sub.get_name());
                look(sub, &path, without);
            }
            if leaf && !command.render_long_help().to_string().contains("Example") {
                without.push(path.to_owned());
            }
        }
        let mut without = Vec::new();
        look(&mut add(Cli::command()), "dhow", &mut without);
        assert!(without.is_empty(), "no example: {without:?}");
    }
}
