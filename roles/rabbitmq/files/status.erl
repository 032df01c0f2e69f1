%% What this node says of itself and of the queues that it leads, as JSON. status.yml binds `VirtualHost`.
Name = fun (Pid) -> hd(tl(binary:split(atom_to_binary(node(Pid)), <<"@">>))) end,
Number = fun (Value) when is_number(Value) -> Value; (_) -> null end,
%% The stricter of what the queue was declared with and what its policy says; null is no bound.
Bound = fun (Q, Key) ->
    Declared = [Value || {Argument, _, Value} <- amqqueue:get_arguments(Q), Argument =:= <<"x-", Key/binary>>],
    %% In Erlang's order numbers come before the atom.
    lists:min(Declared ++ [Value || Value <- [rabbit_policy:get(Key, Q)], is_number(Value)] ++ [null])
end,
Describe = fun (Q) ->
    Keys = [messages_ready, messages_unacknowledged, consumers, backing_queue_status, head_message_timestamp, slave_pids, synchronised_slave_pids],
    %% A queue may end meanwhile.
    try maps:from_list(rabbit_amqqueue:info(Q, Keys)) of
        Info ->
            %% A quorum queue has none of these three.
            List = fun (Key) -> case maps:get(Key, Info, []) of Found when is_list(Found) -> Found; _ -> [] end end,
            Status = List(backing_queue_status),
            [#{name => element(4, amqqueue:get_name(Q)), type => case amqqueue:get_type(Q) of rabbit_classic_queue -> classic; rabbit_quorum_queue -> quorum; Type -> Type end,
               ready => maps:get(messages_ready, Info), unacknowledged => maps:get(messages_unacknowledged, Info),
               consumers => maps:get(consumers, Info),
               in_per_second => Number(proplists:get_value(avg_ingress_rate, Status)), out_per_second => Number(proplists:get_value(avg_egress_rate, Status)),
               oldest_message_time => Number(maps:get(head_message_timestamp, Info)),
               ttl_milliseconds => Bound(Q, <<"message-ttl">>), max_length => Bound(Q, <<"max-length">>), expires_milliseconds => Bound(Q, <<"expires">>),
               mirrors => lists:map(Name, List(slave_pids)), synchronised => lists:map(Name, List(synchronised_slave_pids))}]
    catch _:_ -> []
    end
end,
Node = fun () ->
    {ok, Version} = application:get_key(rabbit, vsn),
    Handles = file_handle_cache:info([total_used, total_limit]),
    #{state => running, version => list_to_binary(Version),
    uptime_seconds => element(1, erlang:statistics(wall_clock)) div 1000,
    running => [atom_to_binary(N) || N <- rabbit_nodes:all_running()],
    partitions => [atom_to_binary(N) || N <- rabbit_node_monitor:partitions()],
    alarms => [list_to_binary(io_lib:format("~p", [Alarm])) || Alarm <- rabbit_alarm:get_alarms()],
    memory_bytes => vm_memory_monitor:get_process_memory(), memory_limit_bytes => vm_memory_monitor:get_memory_limit(),
    disk_free_bytes => Number(rabbit_disk_monitor:get_disk_free()), disk_limit_bytes => rabbit_disk_monitor:get_disk_free_limit(),
    connections => length(rabbit_networking:local_connections()),
    waiting_connections => length([C || C <- rabbit_networking:local_connections(), [{state, State}] <- [catch rabbit_reader:info(C, [state])], State =/= running]),
    consumer_timeout_milliseconds => Number(application:get_env(rabbit, consumer_timeout, null)),
    file_handles => proplists:get_value(total_used, Handles), file_handles_limit => Number(proplists:get_value(total_limit, Handles)),
    policies => [maps:from_list([{K, case K of definition -> maps:from_list(V); _ -> V end} || {K, V} <- P]) || P <- rabbit_policy:list(VirtualHost)],
    permissions => [maps:from_list(P) || P <- rabbit_auth_backend_internal:list_vhost_permissions(VirtualHost)],
    plugins => [atom_to_binary(P) || P <- rabbit_plugins:active()],
    leads => lists:flatmap(Describe, rabbit_amqqueue:list_local(VirtualHost))}
end,
Said = case rabbit:is_running() of true -> Node(); false -> #{state => rabbit_boot_state:get()} end,
io:put_chars(rabbit_json:encode(Said)), ok.
