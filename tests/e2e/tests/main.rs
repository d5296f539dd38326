//! Every test from outside, in one program: what each of them is linked from is the whole of
//! the drivers, and thirty programs take minutes to link what one takes seconds for.

mod access;
mod architecture;
mod attachments;
mod bank_account;
mod blog;
mod broker;
mod browser;
mod calculator;
mod command_line;
mod connections;
mod contract;
mod departures;
mod description;
mod doctor;
mod feed;
mod flood;
mod journey;
mod js_client;
mod kill;
mod licences;
mod life;
mod lists;
mod logging;
mod notifications;
mod operator;
mod parking;
mod private_files;
mod provenance;
mod readiness;
mod rebuild;
mod receipts;
mod scale_out;
mod servers_away;
mod tutorial;
mod warehouse;
