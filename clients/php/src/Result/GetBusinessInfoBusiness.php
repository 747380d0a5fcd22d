<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** The calling business. Generated: do not edit. */
final class GetBusinessInfoBusiness
{
    /** The id of the business. */
    public string $business_id;
    /** The name of the business. */
    public string $name;
    /** The address that the business is reached at. It is at the business's domain. */
    public string $email;
    /** The internet domain of the business. It never changes. */
    public string $domain;
    /** When the business was registered. */
    public string $created_at;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->business_id = $answer['business_id'];
        $result->name = $answer['name'];
        $result->email = $answer['email'];
        $result->domain = $answer['domain'];
        $result->created_at = $answer['created_at'];

        return $result;
    }
}
