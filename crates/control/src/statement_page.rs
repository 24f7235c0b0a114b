//! A statement as a page to be printed: one file without scripts or anything from elsewhere.

use std::fmt::Write;

use wire::admin::{Billing, ModelCharges, Statement};

use crate::html::escape;

const STYLE: &str = "body{font:14px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em}\
    table{border-collapse:collapse;width:100%;margin:1em 0}td,th{padding:.2em .6em;text-align:left;border-bottom:1px solid #ccc}\
    .n{text-align:right;font-variant-numeric:tabular-nums}tfoot td,.s td{font-weight:bold}code{word-break:break-all}\
    @media print{body{margin:0;max-width:none}tr{break-inside:avoid}}";

/// The page.
pub(crate) fn page(statement: &Statement) -> String {
    let title = format!("Statement {} · {}", escape(&statement.month), escape(&statement.organisation));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style></head>\n\
         <body><h1>{title}</h1>\n<p>{}<br>From {} until {} ({}){}</p>\n",
        escape(&statement.organisation_id),
        escape(&statement.from),
        escape(&statement.until),
        escape(&statement.time_zone),
        if statement.closed { "" } else { " — the month is not over: these are the lines so far" },
    );
    // Writing to a text cannot fail.
    let _ = balances(&mut page, statement);
    let _ = charges(&mut page, &statement.charges);
    let _ = credits(&mut page, statement);
    let _ = write!(
        page,
        "<p>The ledger ended with line {} before the month and with line {} after it. Keep the hash of the last line: \
         <code>modelworks ledger verify --expect-head {}</code> finds later whether lines were cut off or rewritten.</p>\n\
         </body></html>\n",
        statement.opening.line,
        statement.closing.line,
        escape(&statement.closing.head),
    );
    page
}

fn balances(page: &mut String, statement: &Statement) -> std::fmt::Result {
    let pays = match statement.billing {
        Billing::Prepaid => "It pays from credit that is there.",
        Billing::Postpaid => "It pays afterwards.",
    };
    write!(page, "<table><tbody>")?;
    for (what, amount) in [
        ("Balance before", &statement.opening.balance),
        ("Charges", &statement.charged),
        ("Credit", &statement.credited),
        ("Corrections", &statement.corrections.amount),
    ] {
        write!(page, "<tr><td>{what}</td><td class=\"n\">{}</td></tr>", escape(amount))?;
    }
    write!(
        page,
        "</tbody><tfoot><tr><td>Balance after</td><td class=\"n\">{}</td></tr>\
         <tr><td>Due</td><td class=\"n\">{}</td></tr></tfoot></table>\n<p>{pays}</p>\n",
        escape(&statement.closing.balance),
        escape(&statement.due),
    )
}

fn charges(page: &mut String, models: &[ModelCharges]) -> std::fmt::Result {
    write!(
        page,
        "<h2>Charges</h2>\n<table><thead><tr><th>Model</th><th>Units of</th><th class=\"n\">Units</th>\
         <th class=\"n\">Price of a million</th><th class=\"n\">Share in ‰</th><th class=\"n\">Amount</th></tr></thead><tbody>\n"
    )?;
    for model in models {
        let name = escape(&model.model);
        for class in &model.classes {
            writeln!(
                page,
                "<tr><td>{name}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
                 <td class=\"n\">{}</td></tr>",
                escape(&class.class),
                class.units,
                escape(&class.price),
                class.share,
                escape(&class.amount),
            )?;
        }
        if model.rounding != "0" {
            let rounding = escape(&model.rounding);
            writeln!(page, "<tr><td>{name}</td><td colspan=\"4\">rounding</td><td class=\"n\">{rounding}</td></tr>")?;
        }
        writeln!(
            page,
            "<tr class=\"s\"><td>{name}</td><td colspan=\"4\">{} requests</td><td class=\"n\">{}</td></tr>",
            model.requests,
            escape(&model.amount),
        )?;
    }
    writeln!(page, "</tbody></table>")
}

fn credits(page: &mut String, statement: &Statement) -> std::fmt::Result {
    if !statement.credits.is_empty() {
        write!(
            page,
            "<h2>Credit</h2>\n<table><thead><tr><th>When</th><th>How</th><th class=\"n\">Line</th>\
             <th class=\"n\">Amount</th></tr></thead><tbody>"
        )?;
        for credit in &statement.credits {
            writeln!(
                page,
                "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
                escape(&credit.at),
                escape(&credit.source),
                credit.line,
                escape(&credit.amount),
            )?;
        }
        writeln!(page, "</tbody></table>")?;
    }
    if statement.corrections.lines > 0 {
        writeln!(
            page,
            "<h2>Corrections</h2>\n<p>{} lines make up for earlier ones; together {}. The ledger names each line that is corrected.</p>",
            statement.corrections.lines,
            escape(&statement.corrections.amount),
        )?;
    }
    Ok(())
}
