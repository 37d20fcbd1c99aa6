//! What the words of the Kerberos library mean for an operator.
//!
//! The clients of Kafka and of HDFS both ask the system's library (MIT's `libgssapi_krb5`) for tickets, and both hand on what it
//! said; the numbers behind the words do not come through Kafka's. The library is set by its environment, and never translates
//! here. Pure: this looks at text only, so words that it does not know change nothing but the advice.

use std::error::Error;

/// What is wrong, and what an operator can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice {
    /// What is wrong, in a few words.
    pub what: &'static str,
    /// What to do.
    pub hint: &'static str,
    /// Whether it may pass without anybody's doing: a KDC that is down comes back.
    pub may_pass: bool,
}

/// By what it says; the first that fits.
const KNOWN: [(&[&str], Advice); 10] = [
    (
        &["Ticket expired", "credential has expired", "credentials have expired"],
        Advice {
            what: "the Kerberos ticket has expired",
            hint: "set KRB5_CLIENT_KTNAME to a keytab, so that tickets are renewed by themselves, or run kinit again",
            may_pass: true,
        },
    ),
    (
        &["Cannot contact any KDC", "Cannot resolve network address for KDC"],
        Advice {
            what: "the KDC does not answer",
            hint: "check the realm's kdc in /etc/krb5.conf (or KRB5_CONFIG) and the network",
            may_pass: true,
        },
    ),
    (
        &["Cannot find KDC for realm", "Cannot find KDC for requested realm", "does not specify default realm"],
        Advice {
            what: "the KDC of the realm is not known",
            hint: "name the realm and its kdc in /etc/krb5.conf, or set KRB5_CONFIG to a file that does",
            may_pass: false,
        },
    ),
    (
        &["not found in Kerberos database"],
        Advice {
            what: "the KDC does not know this name",
            hint: "the server's principal is made of its service (sasl.kerberos.service.name for Kafka) and of the host name by \
                   which it is addressed; the client's stands in the keytab (klist -k)",
            may_pass: false,
        },
    ),
    (
        &["Preauthentication failed", "Password incorrect", "Decrypt integrity check failed"],
        Advice {
            what: "the KDC refuses the key of the keytab",
            hint: "was the key changed since the keytab was made? make a new keytab; klist -k and kvno compare their versions",
            may_pass: false,
        },
    ),
    (
        &[
            "no suitable keys",
            "Key table file",
            "Unknown credential cache type",
            "provide more information: Permission denied",
            "provide more information (Permission denied",
        ],
        Advice {
            what: "the keytab or the ticket cache cannot be used",
            hint: "check the files that KRB5_CLIENT_KTNAME and KRB5CCNAME name, and that the user that runs wasmill may read them",
            may_pass: false,
        },
    ),
    (
        &["Clock skew too great"],
        Advice {
            what: "this machine's clock differs from the KDC's or the server's",
            hint: "set the clock (chrony, systemd-timesyncd)",
            may_pass: true,
        },
    ),
    (
        &["missing a GSSAPI module", "No worthy mechs found", "Failed to load libgssapi_krb"],
        Advice {
            what: "a library for Kerberos is not installed",
            hint: "install libsasl2-modules-gssapi-mit (Debian) or cyrus-sasl-gssapi (Red Hat) for Kafka, libgssapi-krb5-2 or \
                   krb5-libs for HDFS",
            may_pass: false,
        },
    ),
    (
        // The HDFS client's words: the NameNode says why in an answer to no question, which the client drops.
        &["RPC listener disconnected"],
        Advice {
            what: "the NameNode ended the connection",
            hint: "does it run, and on this port? If it wants Kerberos, set HADOOP_CONF_DIR to the cluster's core-site.xml and \
                   hdfs-site.xml, which say so (hadoop.security.authentication)",
            may_pass: true,
        },
    ),
    (
        // Last: the library says the third of these before all that keeps it from a ticket.
        &["No Kerberos credentials available", "No credentials cache found", "No credentials were supplied"],
        Advice {
            what: "there is no Kerberos ticket",
            hint: "set KRB5_CLIENT_KTNAME to a keytab that wasmill may read (tickets are then got and renewed by themselves), or \
                   run kinit as the user that runs wasmill",
            may_pass: false,
        },
    ),
];

/// What `text`, an error in a client's words, means; `None` when it is not about Kerberos.
pub fn advice(text: &str) -> Option<Advice> {
    KNOWN.iter().find(|(words, _)| words.iter().any(|words| text.contains(words))).map(|(_, advice)| *advice)
}

/// The same of an error or one of its causes.
pub fn advice_on(error: &(dyn Error + 'static)) -> Option<Advice> {
    std::iter::successors(Some(error), |error| (*error).source()).find_map(|error| advice(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_says_is_told_apart() {
        // As MIT's 1.20 said it, in the two clients' ways to put its words together.
        let none = "No credentials were supplied, or the credentials were unavailable or inaccessible";
        let failed = "Unspecified GSS failure.  Minor code may provide more information";
        let cases = [
            (none, "No Kerberos credentials available (default cache: FILE:/tmp/krb5cc_0)", "no Kerberos ticket"),
            (none, "Decrypt integrity check failed", "refuses the key"),
            (none, "Client 'wasmill@WASMILL.TEST' not found in Kerberos database", "does not know"),
            (none, "Cannot contact any KDC for realm 'WASMILL.TEST'", "does not answer"),
            (none, "Cannot find KDC for realm \"WASMILL.TEST\"", "is not known"),
            (failed, "Server kafka/127.0.0.1@WASMILL.TEST not found in Kerberos database", "does not know"),
            (failed, "Ticket expired", "has expired"),
            (failed, "Permission denied", "cannot be used"),
        ];
        for (major, minor, wanted) in cases {
            for text in [format!("GSSAPI error: 7 1 {major}: {minor}"), format!("GSSAPI Error: {major} ({minor})")] {
                let found = advice(&text).map_or("", |advice| advice.what);
                assert!(found.contains(wanted), "{text}: {found:?}");
            }
        }
        let dropped = crate::error::Error::fatal("cannot look").because("RPC listener disconnected").hint("look again");
        assert!(dropped.what_to_do().is_some_and(|hint| hint.contains("HADOOP_CONF_DIR")));
        assert_eq!(advice("Permission denied"), None);
        assert_eq!(advice("Connection refused"), None);
    }
}
