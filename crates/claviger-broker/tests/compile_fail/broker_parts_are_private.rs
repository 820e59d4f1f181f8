use claviger_broker::Broker;

fn pick(broker: &Broker) {
    let _ = &broker.vaults; //~ E0616
    let _ = &broker.catalog; //~ E0616
}
